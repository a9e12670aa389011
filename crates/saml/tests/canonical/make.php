<?php
// Writes `vectors.txt` anew: canonical forms as libxml2 makes them. `php make.php > vectors.txt`
// Each case: what it is about, whether comments count, inclusive prefixes, document. The first element with the attribute `pick`
// is written, or the root where there is none. No namespace here has `&` in its name: libxml2 2.9 writes that as `&#38;`.
$cases = [
  ['attributes and namespaces are sorted', false, [], '<b:x z="1" a:c="2" b="3" a:b="4" b:a="5" xmlns:b="urn:2" xmlns:a="urn:3" xmlns="urn:1" a="6"/>'],
  ['attributes are sorted by the names of their namespaces and not by prefixes', false, [], '<x xmlns:z="urn:a" xmlns:a="urn:z" a:n="1" z:n="2" n="3"/>'],
  ['white space is kept', false, [], "<x >\n  <y  a = 'b'\n/> \t</x >"],
  ['empty elements have an end', false, [], '<x><y/><z a="1"/></x>'],
  ['texts are escaped', false, [], '<x>&lt;&gt;&amp;&quot;&apos;"\'&#13;&#9;&#10;&#x20AC;é🚀]]&gt;</x>'],
  ['attributes are escaped', false, [], "<x a='&lt;>&amp;&quot;\"&apos;&#13;&#9;&#10;&#x20AC;é' b=\"1\n2\t3\"/>"],
  ['line ends', false, [], "<x a='1\r\n2\r3'>1\r\n2\r3\n</x>"],
  ['comments do not count', false, [], '<!-- 0 --><x><!-- 1 --><y><!-- 2 --></y></x><!-- 3 -->'],
  ['comments count', true, [], '<x><!-- 1 --><y pick=""><!-- 2 & < > --></y></x>'],
  ['namespaces that nothing uses are left out', false, [], '<x xmlns:a="urn:a" xmlns:b="urn:b"><b:y/><z b:c=""/></x>'],
  ['a part of a document declares what it uses', false, [], '<x xmlns="urn:1" xmlns:a="urn:a" xmlns:b="urn:b"><a:y pick="" b:c="1"><z/></a:y></x>'],
  ['a default that is taken back', false, [], '<x xmlns="urn:1"><y xmlns=""><z xmlns="urn:1"/><w/></y></x>'],
  ['no default around, none is written', false, [], '<x xmlns="urn:1"><y xmlns="" pick=""><z xmlns="urn:2"><w xmlns=""/></z></y></x>'],
  ['a default that only elements further out use', false, [], '<x xmlns="urn:1"><a:y xmlns:a="urn:a"><z xmlns=""><a:w/></z></a:y></x>'],
  ['a prefix that changes its meaning', false, [], '<a:x xmlns:a="urn:1"><a:y xmlns:a="urn:2"><a:z xmlns:a="urn:1"/></a:y><a:y/></a:x>'],
  ['a prefix declared again with the same meaning', false, [], '<a:x xmlns:a="urn:1"><a:y xmlns:a="urn:1"/></a:x>'],
  ['siblings each declare what they use', false, [], '<x xmlns:a="urn:a"><a:y/><a:y><a:z/></a:y></x>'],
  ['attributes of xml', false, [], '<x xml:lang="en" xml:space="preserve"><y pick="" xml:id="i"/></x>'],
  ['inclusive prefixes', false, ['xs'], '<x xmlns:xs="urn:xs" xmlns:a="urn:a"><y pick="" t="xs:string"><z/></y></x>'],
  ['inclusive prefixes, declared further in', false, ['xs'], '<x><y xmlns:xs="urn:xs"><z xmlns:xs="urn:xs"/><w xmlns:xs="urn:2"/></y></x>'],
  ['an inclusive prefix that is nowhere', false, ['nope', 'a'], '<x xmlns:a="urn:a"><y/></x>'],
  ['an inclusive prefix that is used', false, ['a'], '<a:x xmlns:a="urn:a" xmlns:b="urn:b"><a:y/><b:z a:c=""/></a:x>'],
  ['an inclusive default', false, ['#default'], '<x xmlns="urn:1" xmlns:a="urn:a"><a:y pick=""><a:z/><w xmlns=""/></a:y></x>'],
  ['a response', false, [], '<samlp:Response xmlns:samlp="urn:p" xmlns:saml="urn:a" ID="_1" Version="2.0"><saml:Issuer>i</saml:Issuer><saml:Assertion ID="_2" xmlns:xs="urn:xs" pick=""><saml:Issuer>i</saml:Issuer><saml:AttributeValue xmlns:xsi="urn:xsi" xsi:type="xs:string">v</saml:AttributeValue></saml:Assertion></samlp:Response>'],
  ['a response, its types declared', false, ['xs'], '<samlp:Response xmlns:samlp="urn:p" xmlns:saml="urn:a" ID="_1" Version="2.0"><saml:Issuer>i</saml:Issuer><saml:Assertion ID="_2" xmlns:xs="urn:xs" pick=""><saml:Issuer>i</saml:Issuer><saml:AttributeValue xmlns:xsi="urn:xsi" xsi:type="xs:string">v</saml:AttributeValue></saml:Assertion></samlp:Response>'],
  // The examples of Exclusive XML Canonicalization 1.0, section 2.2.
  ['section 2.2, first document', false, [], '<n0:local xmlns:n0="foo:bar" xmlns:n3="ftp://example.org"><n1:elem2 xmlns:n1="http://example.net" xml:lang="en" pick=""><n3:stuff xmlns:n3="ftp://example.org"/></n1:elem2></n0:local>'],
  ['section 2.2, second document', false, [], '<n2:pdu xmlns:n1="http://example.com" xmlns:n2="http://foo.example" xml:lang="fr" xml:space="preserve"><n1:elem2 xmlns:n1="http://example.net" xml:lang="en" pick=""><n3:stuff xmlns:n3="ftp://example.org"/></n1:elem2></n2:pdu>'],
];
// Documents at random: any nesting of declarations, prefixes, attributes, texts and comments.
mt_srand(7);
function pick(array $of) { return $of[mt_rand(0, count($of) - 1)]; }
function text(): string {
  $text = '';
  for ($n = mt_rand(0, 4); $n > 0; $n--) $text .= pick(['x', '&lt;', '&gt;', '&amp;', '&quot;', '&apos;', '&#13;', '&#9;', '&#10;', "\n", "\t", ' ', 'é', '🚀', "\r\n"]);
  return $text;
}
function element(array $scope, int $depth): string {
  $written = [];
  for ($n = mt_rand(0, 2); $n > 0; $n--) {
    $prefix = pick(['', 'a', 'b', 'c', 'xs']);
    $scope[$prefix] = $prefix === '' && mt_rand(0, 2) === 0 ? '' : pick(['urn:1', 'urn:2', 'urn:3']);
    $written[$prefix === '' ? 'xmlns' : "xmlns:$prefix"] = $scope[$prefix];
  }
  $prefixes = array_values(array_filter(array_keys($scope), fn($prefix) => $prefix !== ''));
  $names = [];
  for ($n = mt_rand(0, 3); $n > 0; $n--) {
    [$prefix, $local] = [pick(array_merge([''], $prefixes)), pick(['m', 'n', 'o'])];
    $namespace = $prefix === '' ? '' : $scope[$prefix];
    if (isset($names["$namespace $local"])) continue;
    $names["$namespace $local"] = true;
    $written[$prefix === '' ? $local : "$prefix:$local"] = text();
  }
  if (mt_rand(0, 9) === 0) $written['pick'] = '';
  $keys = array_keys($written);
  shuffle($keys);
  $prefix = pick(array_merge([''], $prefixes));
  $name = ($prefix === '' ? '' : "$prefix:") . pick(['e', 'f']);
  $out = "<$name";
  foreach ($keys as $key) $out .= pick([' ', '  ', "\n"]) . $key . pick(['=', ' = ']) . "'{$written[$key]}'";
  // A comment beside a text is not accepted, so an element has one or the other.
  $kind = mt_rand(0, 2);
  $inside = '';
  for ($n = $depth < 4 ? mt_rand(0, 3) : 0; $n > 0; $n--) {
    if (mt_rand(0, 9) < 6) $inside .= element($scope, $depth + 1);
    else $inside .= [text(), '<!--' . pick([' c ', '&<>', 'é']) . '-->', "\n "][$kind];
  }
  return $inside === '' && mt_rand(0, 1) ? "$out/>" : "$out>$inside</$name>";
}
for ($n = 0; $n < 300; $n++) {
  $cases[] = ["random $n", mt_rand(0, 1) === 1, pick([[], [], ['a'], ['a', 'xs'], ['#default', 'b']]), element([], 0)];
}
foreach ($cases as [$about, $comments, $inclusive, $xml]) {
  $document = new DOMDocument();
  $document->preserveWhiteSpace = true;
  if (!$document->loadXML($xml, LIBXML_NONET)) { fwrite(STDERR, "not XML: $about\n"); continue; }
  $picked = (new DOMXPath($document))->query('//*[@pick]')->item(0) ?? $document->documentElement;
  $canonical = $picked->C14N(true, $comments, null, $inclusive ?: null);
  echo json_encode([$about, $comments, $inclusive, $xml, $canonical], JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE), "\n";
}
