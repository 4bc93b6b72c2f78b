-- Contents that every supported major has, and that their dumps write in different ways.
CREATE ROLE reader;
CREATE DOMAIN money_amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE TYPE state AS ENUM ('new', 'paid', 'sent');
CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    lower_name text GENERATED ALWAYS AS (lower(name)) STORED
);
CREATE TABLE orders (
    id bigint NOT NULL,
    customer bigint NOT NULL REFERENCES customers,
    placed date NOT NULL,
    total money_amount NOT NULL,
    state state NOT NULL DEFAULT 'new',
    PRIMARY KEY (id, placed)
);
CREATE TABLE events (id bigint, at date NOT NULL, payload jsonb) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON events (at);
CREATE INDEX ON orders (customer);
CREATE SEQUENCE numbers START 17;
SELECT nextval('numbers');
INSERT INTO customers (name) SELECT 'Customer ' || i FROM generate_series(1, 500) i;
INSERT INTO orders SELECT i, i % 500 + 1, date '2025-01-01' + i % 600, i, 'paid' FROM generate_series(1, 20000) i;
INSERT INTO events SELECT i, date '2025-01-01' + i % 700, jsonb_build_object('i', i) FROM generate_series(1, 5000) i;
CREATE VIEW spent AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW per_day AS SELECT placed, count(*) FROM orders GROUP BY placed;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a trigger fired';
END;
$$;
CREATE TRIGGER no_touching BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
COMMENT ON TABLE orders IS 'what was ordered';
GRANT SELECT ON orders TO reader;
SELECT lo_from_bytea(100000 + i, decode(repeat(md5(i::text), 50), 'hex')) FROM generate_series(1, 1200) i;
GRANT SELECT ON LARGE OBJECT 100001 TO reader;
COMMENT ON LARGE OBJECT 100002 IS 'the second';
CREATE STATISTICS dependent (dependencies) ON id, name FROM customers;
