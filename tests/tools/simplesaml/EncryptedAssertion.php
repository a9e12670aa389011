<?php
// Debian's version encrypts with AES-128-CBC whatever is configured. This stands in its place and takes the party's
// `sharedkey_algorithm`; the encryption itself is xmlseclibs' own.
namespace SAML2;

use RobRichards\XMLSecLibs\XMLSecEnc;
use RobRichards\XMLSecLibs\XMLSecurityKey;
use SimpleSAML\Metadata\MetaDataStorageHandler;

class EncryptedAssertion {
  private \DOMNode $sealed;

  public function setAssertion(Assertion $assertion, XMLSecurityKey $key): void {
    $parties = MetaDataStorageHandler::getMetadataHandler();
    $party = $parties->getMetaDataConfig($assertion->getValidAudiences()[0], 'saml20-sp-remote');
    $session = new XMLSecurityKey($party->getString('sharedkey_algorithm'));
    $session->generateSessionKey();
    $encryption = new XMLSecEnc();
    $encryption->setNode($assertion->toXML());
    $encryption->type = XMLSecEnc::Element;
    $encryption->encryptKey($key, $session);
    $this->sealed = $encryption->encryptNode($session);
  }

  public function wasSignedAtConstruction(): bool {
    return false;
  }

  public function toXML(\DOMNode $parent): \DOMElement {
    $element = $parent->ownerDocument->createElementNS(Constants::NS_SAML, 'saml:EncryptedAssertion');
    $parent->appendChild($element);
    $element->appendChild($element->ownerDocument->importNode($this->sealed, true));
    return $element;
  }
}
