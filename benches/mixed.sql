-- The mixed database: about 1 GB at scale 1. The caller sets :scale.
CREATE EXTENSION pgcrypto;

CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL);
INSERT INTO customers
SELECT n, 'Customer ' || md5(n::text), 'City ' || n % 500
FROM generate_series(1, 100000) n;

-- Three million narrow rows with two indexes and a foreign key.
CREATE TABLE events (
    id          bigint NOT NULL,
    customer    int NOT NULL,
    at          timestamptz NOT NULL,
    amount      numeric(12, 2) NOT NULL,
    kind        text NOT NULL,
    note        text
);
INSERT INTO events
SELECT n, 1 + n % 100000, timestamptz '2024-01-01 00:00+00' + n * interval '11 s', (n * 7919 % 1000000) / 100.0,
       (ARRAY['view', 'cart', 'order', 'return'])[1 + n % 4], CASE WHEN n % 3 = 0 THEN 'note ' || md5(n::text) END
FROM generate_series(1, (3000000 * :scale)::bigint) n;
ALTER TABLE events ADD PRIMARY KEY (id);
CREATE INDEX events_customer_at ON events (customer, at);
ALTER TABLE events ADD FOREIGN KEY (customer) REFERENCES customers;

-- jsonb and text, compressible as such things are.
CREATE TABLE documents (id bigint PRIMARY KEY, body jsonb NOT NULL, page text NOT NULL);
INSERT INTO documents
SELECT n, jsonb_build_object('id', n, 'tags', jsonb_build_array('a' || n % 17, 'b' || n % 31), 'key', md5(n::text),
                             'nested', jsonb_build_object('price', n % 1000, 'stock', n % 7 = 0)),
       repeat('Lorem ipsum ' || n % 1000 || ' dolor sit amet, ', 6) || md5((n * 2)::text)
FROM generate_series(1, (500000 * :scale)::bigint) n;

-- Bytes that do not compress. The inner series names n so that each row gets bytes of its own.
CREATE TABLE blobs (id bigint PRIMARY KEY, content bytea NOT NULL);
ALTER TABLE blobs ALTER content SET STORAGE EXTERNAL;
INSERT INTO blobs
SELECT n, (SELECT string_agg(gen_random_bytes(1024), ''::bytea) FROM generate_series(1, 10 + 0 * n))
FROM generate_series(1, (20000 * :scale)::bigint) n;

-- 150 small tables.
SELECT format('CREATE TABLE small_%s (id int PRIMARY KEY, name text UNIQUE, at date DEFAULT %L); '
              'INSERT INTO small_%s (id, name) SELECT n, md5(n::text) FROM generate_series(1, %s) n',
              lpad(n::text, 3, '0'), '2026-01-01', lpad(n::text, 3, '0'), n * 10)
FROM generate_series(1, 150) n
\gexec
VACUUM (ANALYZE);
