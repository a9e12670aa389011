<?php
$config = ['people' => ['exampleauth:UserPass',
  'alice:wonderland' => ['uid' => ['alice'], 'email' => ['alice@example.com'], 'groups' => ['engineers', 'Bürö & Ämter']],
  'bob:builder' => ['uid' => ['bob'], 'email' => ['bob@example.com'], 'groups' => ['dba']],
]];
