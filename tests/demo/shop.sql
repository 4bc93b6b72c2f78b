-- A small shop with rows of every common type; some 350,000 of them.
CREATE EXTENSION pgcrypto;
CREATE SCHEMA shop;
SET search_path = shop, public;
SELECT setseed(0.42);

CREATE TYPE mood AS ENUM ('new', 'regular', 'lost');
CREATE TYPE address AS (street text, city text, zip varchar(10));
CREATE DOMAIN email AS text CHECK (VALUE ~ '@');

CREATE TABLE customers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         uuid NOT NULL UNIQUE,
    name        text NOT NULL,
    mail        email,
    kind        mood NOT NULL DEFAULT 'new',
    home        address,
    tags        text[],
    profile     jsonb,
    legacy      json,
    came_from   inet,
    network     cidr,
    card        macaddr,
    born        date,
    wakes       time,
    wakes_at    timetz,
    seen        timestamptz,
    made        timestamp,
    active      boolean,
    initials    char(2),
    balance     money
);
INSERT INTO customers (key, name, mail, kind, home, tags, profile, legacy, came_from, network, card,
                       born, wakes, wakes_at, seen, made, active, initials, balance)
SELECT md5(n::text)::uuid, 'Customer ' || n || ' Ünïcödé', 'c' || n || '@example.org',
       (ARRAY['new', 'regular', 'lost'])[1 + n % 3]::mood, ('Street ' || n, 'Città', n::text)::address,
       ARRAY['a' || n % 7, NULL, 'with "quotes", commas'],
       jsonb_build_object('n', n, 'nested', jsonb_build_array(n, NULL, true)), '{"b":1, "a":2}',
       ('10.0.' || n % 256 || '.1')::inet, ('10.' || n % 256 || '.0.0/16')::cidr,
       ('08:00:2b:01:02:' || lpad(to_hex(n % 256), 2, '0'))::macaddr,
       date '1950-01-01' + n % 20000, time '00:00' + n % 86400 * interval '1 s',
       ('06:' || lpad((n % 60)::text, 2, '0') || ':00+02')::timetz,
       timestamptz '2020-01-01 00:00+00' + n * interval '1 hour', timestamp '2020-01-01' + n * interval '1 s',
       n % 2 = 0, chr(65 + n % 26), (n % 1000 - 500)::numeric::money
FROM generate_series(1, 50000) n;

CREATE TABLE orders (
    id          bigint NOT NULL,
    customer    bigint NOT NULL REFERENCES customers,
    placed      date NOT NULL,
    total       numeric(12, 2) NOT NULL CHECK (total >= 0),
    taxed       numeric GENERATED ALWAYS AS (total * 1.19) STORED,
    note        varchar(200),
    PRIMARY KEY (id, placed)
) PARTITION BY RANGE (placed);
CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE orders_rest PARTITION OF orders DEFAULT;
INSERT INTO orders (id, customer, placed, total, note)
SELECT n, 1 + n % 50000, date '2024-12-01' + n % 700, (n % 100000) / 100.0, CASE WHEN n % 5 = 0 THEN repeat('x', n % 190) END
FROM generate_series(1, 200000) n;

CREATE TABLE measurements (
    id          serial PRIMARY KEY,
    small       smallint,
    rough       real,
    fine        double precision,
    exact       numeric,
    span        interval,
    spot        point,
    area        box,
    way         path,
    round       circle,
    valid       tstzrange,
    counts      int4multirange,
    flags       bit(8),
    mask        bit varying(16),
    matrix      integer[][]
);
INSERT INTO measurements (small, rough, fine, exact, span, spot, area, way, round, valid, counts, flags, mask, matrix)
SELECT n % 32767, n / 3.0, CASE n % 1000 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE sqrt(n) END, n / 7.0,
       n * interval '1 minute 3 days', point(n, -n), box(point(0, 0), point(n, n)), '[(0,0),(1,1),(2,0)]', circle(point(n, n), n),
       tstzrange(timestamptz '2020-01-01 00:00+00' + n * interval '1 minute', NULL), int4multirange(int4range(n, n + 3), int4range(n + 10, n + 12)),
       (n % 256)::bit(8), B'101', ARRAY[[n, 1], [2, NULL]]
FROM generate_series(1, 80000) n;

CREATE TABLE documents (
    id          uuid PRIMARY KEY,
    body        bytea,
    page        xml,
    words       tsvector,
    query       tsquery,
    position    pg_lsn,
    long        text
);
INSERT INTO documents
SELECT md5('d' || n)::uuid, digest(n::text, 'sha512'), xmlelement(name page, n), to_tsvector('english', 'the quick brown fox number ' || n),
       'quick & fox'::tsquery, ('0/' || to_hex(n))::pg_lsn, repeat(md5(n::text), 20) || E'\ttab\nline\\backslash'
FROM generate_series(1, 20000) n;
CREATE INDEX documents_words ON documents USING gin (words);

CREATE TABLE journal (at bigint, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.journal VALUES (NEW.id, TG_OP);
    RETURN NEW;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION note();
UPDATE customers SET name = name || '!' WHERE id <= 100;

CREATE VIEW best AS SELECT customer, sum(total) AS spent FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW per_year AS SELECT extract(year FROM placed) AS year, count(*) FROM orders GROUP BY 1;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY active_only ON customers USING (active);
CREATE SEQUENCE invoices START 1000;
SELECT setval('invoices', 4711);
SELECT lo_from_bytea(0, decode(repeat('c0ffee', 1000), 'hex'));
ANALYZE;
