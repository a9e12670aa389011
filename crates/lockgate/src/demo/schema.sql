-- The sample shop of `lockgate demo`: what a small web shop keeps about people, and a staff list next to it.
CREATE TABLE public.customers (
  id       integer PRIMARY KEY,
  name     text NOT NULL,
  email    text NOT NULL,
  ssn      text NOT NULL,
  card     text NOT NULL,
  phone    text NOT NULL,
  born     date NOT NULL,
  street   text NOT NULL,
  city     text NOT NULL,
  region   text NOT NULL,
  joined   timestamptz NOT NULL,
  points   integer NOT NULL
);

CREATE TABLE public.products (
  id       integer PRIMARY KEY,
  name     text NOT NULL,
  category text NOT NULL,
  price    numeric(8,2) NOT NULL
);

CREATE TABLE public.orders (
  id          integer PRIMARY KEY,
  customer_id integer NOT NULL,
  product_id  integer NOT NULL,
  quantity    smallint NOT NULL,
  total       numeric(10,2) NOT NULL,
  status      text NOT NULL,
  placed      timestamptz NOT NULL
);

CREATE SCHEMA hr;
CREATE TABLE hr.employees (
  id          integer PRIMARY KEY,
  name        text NOT NULL,
  email       text NOT NULL,
  national_id text NOT NULL,
  title       text NOT NULL,
  salary      numeric(9,2) NOT NULL,
  born        date NOT NULL
);
