-- A generated column that needs the user's own row of an extension's configuration table. pg_dump writes tables by name.
CREATE SCHEMA a;
CREATE SCHEMA z;
CREATE EXTENSION roundtrip_zones SCHEMA z;
INSERT INTO z.zones VALUES ('mine', 5);
CREATE TABLE a.a (hour int, zone text DEFAULT 'mine', local int GENERATED ALWAYS AS (z.shifted(hour, zone)) STORED,
    CHECK (z.shifted(hour, zone) < 100));
INSERT INTO a.a SELECT generate_series(1, 20);
CREATE INDEX a_local ON a.a (z.shifted(hour, zone));

--@ changed
DELETE FROM a.a;
UPDATE z.zones SET difference = 6 WHERE name = 'mine';
INSERT INTO a.a VALUES (1);
