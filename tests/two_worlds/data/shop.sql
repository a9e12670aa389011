-- World A: the shop that the cases of this directory ask. Run as a superuser in an empty database; the roles app, dba and
-- repl are there. Checks on labelled columns take the spellings of all three worlds, because the schema must not differ.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS fuzzystrmatch;
CREATE EXTENSION IF NOT EXISTS tablefunc;
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE EXTENSION IF NOT EXISTS xml2;
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS intarray;
CREATE EXTENSION IF NOT EXISTS ltree;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app;
GRANT CREATE, USAGE ON SCHEMA public TO app;
CREATE SCHEMA scratch; GRANT ALL ON SCHEMA scratch TO app;
CREATE SCHEMA hr;      GRANT USAGE ON SCHEMA hr TO app;

CREATE TYPE contact_t AS (phone text, mail text);
CREATE DOMAIN ssn_t AS text CHECK (VALUE ~ '^\w{3}-\w{2}-\w{4}$');
CREATE TYPE tier_t AS ENUM ('bronze','silver','gold');

CREATE TABLE customers (
  id          int PRIMARY KEY,
  name        text NOT NULL,
  ssn         text NOT NULL CHECK (ssn ~ '^\w{3}-\w{2}-\w{4}$'),
  email       text NOT NULL UNIQUE,
  credit_card text,
  phone       text,
  dob         date,
  salary      numeric(12,2),
  notes       jsonb,
  address     text,
  region      text,
  tier        tier_t DEFAULT 'bronze',
  vip         boolean DEFAULT false,
  created_at  timestamptz DEFAULT '2024-01-01 00:00:00+00',
  ssn_last6   text GENERATED ALWAYS AS (right(ssn,6)) STORED
);
INSERT INTO customers(id,name,ssn,email,credit_card,phone,dob,salary,notes,address,region,tier,vip,created_at) VALUES
 (1,'Alice Canary','536-90-4399','alice.canary@qx7mail.example','4556737586899855','+1-415-555-0134','1987-03-14',184250.37,
   '{"diagnosis":"hepatitis-zq","mrn":"MRN-7730921","contacts":[{"mail":"bob.next@kin77.example"}],"plan":"basic"}','742 Evergreen Xing','north','gold',true,'2024-02-03 04:05:06+00'),
 (2,'Bruno Canary','219-09-9998','bruno.canary@zt4post.example','5425233430109903','+1-212-555-0187','1971-11-30',91733.11,
   '{"diagnosis":"asthma-kk","mrn":"MRN-5512077","plan":"plus"}','9 Quarry Lane Apt 77','south','silver',false,'2024-03-04 05:06:07+00'),
 (3,'Chloe Canary','078-05-1127','chloe.canary@vv9inbox.example','374245455400126','+44-20-7946-0958','1999-07-21',60210.90,
   '{"diagnosis":"none","mrn":"MRN-1200345","plan":"basic"}','Flat 3, 55 Zephyr Road','north','bronze',false,'2024-04-05 06:07:08+00');
INSERT INTO customers(id,name,ssn,email,credit_card,phone,dob,salary,notes,address,region,tier,vip,created_at)
SELECT i, 'Person '||i,
       lpad((100+(i*37)%799)::text,3,'0')||'-'||lpad((10+(i*13)%89)::text,2,'0')||'-'||lpad((1000+(i*7919)%8999)::text,4,'0'),
       'person'||i||'@corp'||(i%7)||'.example', '400000'||lpad((i*48271::bigint%10000000000)::text,10,'0'),
       '+1-303-555-'||lpad((i*37%10000)::text,4,'0'), date '1950-01-01'+(i*97%20000), 30000+(i*7919%120000)+0.25,
       jsonb_build_object('diagnosis','d'||i%11,'mrn','MRN-'||(1000000+i*3571),'plan',(ARRAY['basic','plus','pro'])[1+i%3]),
       i||' Main Street', (ARRAY['north','south','east','west'])[1+i%4], (ARRAY['bronze','silver','gold'])[1+i%3]::tier_t, i%10=0,
       timestamptz '2024-05-01 00:00:00+00' + i*interval '1 hour'
FROM generate_series(4,300) i;
CREATE INDEX customers_lower_email ON customers (lower(email));
CREATE INDEX customers_ssn ON customers (ssn);
CREATE STATISTICS customers_st (mcv) ON region, ssn_last6 FROM customers;

CREATE TABLE customers_archive (archived_on date) INHERITS (customers);
INSERT INTO customers_archive(id,name,ssn,email,credit_card,phone,dob,salary,notes,address,region,archived_on)
 VALUES (9001,'Dora Canary','457-55-5462','dora.canary@old8.example','6011000990139424','+1-808-555-0171','1960-12-24',1234567.89,'{"diagnosis":"gout-xx"}','1 Old Road','west','2023-01-01');

CREATE TABLE hr.employees (
  id int PRIMARY KEY, full_name text, national_id bigint, pin smallint, salary numeric(12,2), bonus float8,
  badge uuid, home_ip inet, geo point, iban text, medical xml, contacts text[], kin contact_t, leave daterange,
  born timestamp, photo bytea, flags bit(8), mac macaddr, money_owed money, hired date, dept text, ssn ssn_t, nick citext, path ltree, kv hstore);
INSERT INTO hr.employees VALUES
 (1,'Erin Canary',7731905512,4821,210987.65,31415.926535,'6f1c2e0a-9b7d-4c53-8e21-d0c4b7a99f13','203.0.113.77','(47.6205,-122.3493)','GB33BUKB20201555555555',
  '<rec><dx>lupus-qq</dx></rec>', ARRAY['+1-206-555-0143','erin.alt@hush5.example'], ROW('+1-206-555-0199','kin.erin@hush6.example')::contact_t, '[2024-08-11,2024-09-02)',
  '1979-05-06 07:08:09.123456','\xdeadbeef00c0ffee','10110101','08:00:2b:01:02:03','$98,765.43','2015-06-01','eng','536-90-4399','Zed-Nickname-9','top.secret.zq77','mother=>"Maiden-Zorblatt"'),
 (2,'Finn Canary',6620184423,9317,150432.10,2718.281828,'0b7e8d11-33aa-4f60-a5c9-17be20f4d6e2','198.51.100.23','(51.5074,-0.1278)','DE89370400440532013000',
  '<rec><dx>flu</dx></rec>', ARRAY['+49-30-555-0100'], ROW('+49-30-555-0111','kin.finn@hush7.example')::contact_t, '[2024-01-05,2024-01-09)',
  '1985-10-11 12:13:14','\xabad1dea','00001111','08:00:2b:0a:0b:0c','$1.00','2018-02-01','ops','219-09-9998','Y-Nick','top.public','mother=>"Plain"');
CREATE TABLE payments (id int, customer_id int, card_pan text, amount numeric(10,2), paid_on date) PARTITION BY RANGE (paid_on);
CREATE TABLE payments_2023 PARTITION OF payments FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE payments_2024 PARTITION OF payments FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO payments VALUES (1,1,'4916592289993918',120.50,'2023-05-05'),(2,2,'4539578763621486',80.00,'2024-06-06');
CREATE TABLE products (sku text PRIMARY KEY, title text, price numeric(8,2), stock int, attrs jsonb, tags text[]);
INSERT INTO products VALUES ('A-100','Blue mug',9.50,120,'{"color":"blue","ml":330}','{kitchen,mug}'),('B-200','Desk lamp',49.90,14,'{"color":"black","watt":9}','{office,light}'),
 ('C-300','Notebook',3.25,900,'{"pages":120}','{office,paper}'),('D-400','Chair',129.00,7,'{"color":"grey"}','{office,seat}');
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers(id), sku text REFERENCES products(sku), qty int, status text, placed_at timestamptz, ship_note text);
INSERT INTO orders SELECT i, 1+i%300, (ARRAY['A-100','B-200','C-300','D-400'])[1+i%4], 1+i%5, (ARRAY['new','paid','shipped','returned'])[1+i%4], timestamptz '2024-06-01 00:00:00+00'+i*interval '37 minutes', 'leave at door' FROM generate_series(1,1000) i;
UPDATE orders SET ship_note='call hidden.reader@note55.example or card 4532015112830366' WHERE id=77;
CREATE TABLE customers_audit (at timestamptz DEFAULT now(), op text, row_data jsonb);
CREATE TABLE kv (k text PRIMARY KEY, v text);
INSERT INTO kv VALUES ('theme','dark'),('lang','en');

CREATE VIEW v_customers AS SELECT * FROM customers;
CREATE VIEW v_people(a,b,c) AS SELECT id, ssn, name FROM customers;
CREATE VIEW v_nested AS SELECT a AS k, b AS label FROM v_people;
CREATE VIEW v_expr AS SELECT id, 'N:'||ssn AS label, upper(email) AS ue FROM customers;
CREATE VIEW v_safe AS SELECT id, name, region, tier FROM customers;
CREATE MATERIALIZED VIEW mv_contacts AS SELECT id, email AS addr, phone AS ph FROM customers;

CREATE FUNCTION get_ssn(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM public.customers WHERE id=$1';
CREATE FUNCTION get_customer(int) RETURNS customers LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT * FROM public.customers WHERE id=$1';
CREATE FUNCTION all_customers() RETURNS SETOF customers LANGUAGE sql STABLE AS 'SELECT * FROM public.customers';
CREATE FUNCTION cust_tab(OUT k int, OUT label text) RETURNS SETOF record LANGUAGE sql STABLE AS 'SELECT id, ssn FROM public.customers';
CREATE FUNCTION dyn(text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE $1; END $$;
CREATE FUNCTION imm_ssn(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN (SELECT ssn FROM public.customers WHERE id=$1); END $$;
CREATE FUNCTION region_of(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT region FROM public.customers WHERE id=$1';
CREATE FUNCTION add_tax(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT round($1*1.2,2)';
CREATE FUNCTION refcur(refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$ BEGIN OPEN $1 FOR SELECT ssn FROM public.customers ORDER BY id; RETURN $1; END $$;
CREATE FUNCTION audit_trg() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO public.customers_audit(op,row_data) VALUES (TG_OP, to_jsonb(OLD)); RETURN NEW; END $$;
CREATE TRIGGER t_audit AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION audit_trg();
CREATE PROCEDURE out_ssn(IN i int, INOUT r text) LANGUAGE plpgsql AS $$ BEGIN SELECT ssn INTO r FROM public.customers WHERE id=i; END $$;
CREATE SEQUENCE s1; CREATE SEQUENCE s_big;

GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES, TRIGGER ON ALL TABLES IN SCHEMA public, hr TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app;
ANALYZE;
