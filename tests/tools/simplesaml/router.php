<?php
// PHP's own web server takes `/module.php/core/loginuserpass.php` for a file; this finds the program in it.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (!preg_match('#^((?:/[^/.]+)*/[^/.]+\.php)(/.*)?$#', $path, $parts)) return false;
$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $parts[1];
$_SERVER['SCRIPT_FILENAME'] = $_SERVER['DOCUMENT_ROOT'] . $parts[1];
$_SERVER['PATH_INFO'] = $parts[2] ?? '';
if (!is_file($_SERVER['SCRIPT_FILENAME'])) return false;
require_once __DIR__ . '/EncryptedAssertion.php';
chdir(dirname($_SERVER['SCRIPT_FILENAME']));
require $_SERVER['SCRIPT_FILENAME'];
