<?php
// Every service provider is known by its own metadata, and by what a file of options beside it changes.
foreach (glob(getenv('LOCKGATE_IDP_HOME') . '/parties/*.xml') as $file) {
  $party = \SimpleSAML\Metadata\SAMLParser::parseFile($file)->getMetadata20SP();
  unset($party['entityDescriptor'], $party['expire']);
  $options = json_decode(file_get_contents(preg_replace('/xml$/', 'json', $file)), true, 8, JSON_THROW_ON_ERROR);
  $metadata[$party['entityid']] = $options + $party + ['simplesaml.nameidattribute' => 'uid'];
}
