<?php
// SimpleSAMLphp as an identity provider for the tests. What differs between runs comes in the environment.
$home = getenv('LOCKGATE_IDP_HOME');
$config = [
  'baseurlpath' => 'http://127.0.0.1:' . getenv('LOCKGATE_IDP_PORT') . '/',
  'certdir' => "$home/cert/",
  'loggingdir' => "$home/log/",
  'datadir' => "$home/data/",
  'tempdir' => "$home/tmp",
  'metadatadir' => __DIR__ . '/metadata/',
  'metadata.sources' => [['type' => 'flatfile']],
  'secretsalt' => 'of the tests',
  'auth.adminpassword' => bin2hex(random_bytes(16)),
  'timezone' => 'UTC',
  'language.default' => 'en',
  'logging.handler' => 'file',
  'enable.saml20-idp' => true,
  'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
  'store.type' => 'phpsession',
  'session.phpsession.savepath' => "$home/sessions",
  'session.phpsession.cookiename' => 'IdentityProvider',
  'session.cookie.secure' => false,
];
