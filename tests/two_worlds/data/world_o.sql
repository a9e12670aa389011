-- World O: the secrets of world A spelt so that no content detector can know them (digits to letters, `@` to `#`, `.` to `_`,
-- `+` to `=`): it tells masking by lineage from luck with a pattern.
SET session_replication_role=replica;
CREATE FUNCTION pg_temp.o(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT translate(t,'0123456789@.+','qwzxvkjyhm#_=')$$;
UPDATE customers SET ssn=pg_temp.o(ssn), email=pg_temp.o(email), credit_card=pg_temp.o(credit_card), phone=pg_temp.o(phone), address=pg_temp.o(address), notes=pg_temp.o(notes::text)::jsonb;
UPDATE hr.employees SET iban=pg_temp.o(iban), contacts=ARRAY(SELECT pg_temp.o(x) FROM unnest(contacts) x), kin=ROW(pg_temp.o((kin).phone),pg_temp.o((kin).mail))::contact_t, ssn=pg_temp.o(ssn);
UPDATE payments SET card_pan=pg_temp.o(card_pan);
REFRESH MATERIALIZED VIEW mv_contacts;
ANALYZE;
