-- World B: world A with other values in every labelled column, and nothing else.
SET session_replication_role=replica;
UPDATE customers SET
  ssn = CASE id WHEN 1 THEN '129-41-7718' WHEN 2 THEN '733-58-1204' WHEN 3 THEN '902-77-3651'
        ELSE lpad((100+((id*53+7)%799))::text,3,'0')||'-'||lpad((10+((id*29+3)%89))::text,2,'0')||'-'||lpad((1000+((id*3571+11)%8999))::text,4,'0') END,
  email = CASE id WHEN 1 THEN 'zoe.other@wk2post.example' ELSE 'b'||id||'.'||(id*31%97)||'@else'||(id%5)||'.example' END,
  credit_card = '51'||lpad(((id*99991::bigint+77)%100000000000000)::text,14,'0'),
  phone = '+1-702-555-'||lpad(((id*91+13)%10000)::text,4,'0'),
  dob = dob + (3000 + (id*17)%900),
  salary = CASE WHEN id=1 THEN 30111.5 ELSE 20000+((id*104729)%150000) END,
  notes = jsonb_build_object('diagnosis','q'||((id*3)%13),'mrn','MRN-'||(3000000+id*977),'plan','other'),
  address = 'No '||(id*7%311)||' Elsewhere St, long enough to differ';
UPDATE hr.employees SET national_id=national_id-1234567, pin=pin-1003, salary=salary*0.31, bonus=bonus*2+1, badge=md5(badge::text)::uuid, home_ip=home_ip+77,
  geo=geo+point(1,1), iban='FR1420041010050500013M02606', medical='<rec><dx>other</dx></rec>', contacts=ARRAY['none'], kin=ROW('0','0')::contact_t,
  leave='[2020-01-01,2020-01-02)', born=born+interval '900 days', photo='\x0102', flags= (~flags), mac='01:02:03:04:05:06', money_owed=money_owed*3, ssn='999-88-7777', nick='other', path='a.b', kv='mother=>"Other"';
UPDATE payments SET card_pan='371449635398431';
REFRESH MATERIALIZED VIEW mv_contacts;
ANALYZE;
