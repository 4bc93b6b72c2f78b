-- Partitions by range, list and hash, and tables that inherit.
CREATE TABLE events (id int, at date, word text DEFAULT 'none', PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events (word DEFAULT 'of 2026') FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
    PARTITION BY LIST (id);
CREATE TABLE events_2026_some PARTITION OF events_2026 FOR VALUES IN (600, 700);
CREATE TABLE events_2026_others PARTITION OF events_2026 DEFAULT;
-- Attached, with its columns in another order.
CREATE TABLE attached (word text, gone int, at date NOT NULL, id int NOT NULL, CHECK (at < '2025-01-01'));
ALTER TABLE attached DROP COLUMN gone;
ALTER TABLE events ATTACH PARTITION attached FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
CREATE INDEX events_word ON events (word);
CREATE INDEX only_here ON events_2025 (at DESC);
CREATE INDEX not_everywhere ON ONLY events (at, word);
INSERT INTO events SELECT i, date '2024-06-01' + i, CASE i % 3 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 900) i;
CREATE TABLE of_events (id int, at date, FOREIGN KEY (id, at) REFERENCES events);
INSERT INTO of_events SELECT id, at FROM events LIMIT 10;
CREATE TABLE hashed (a int) PARTITION BY HASH (a);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0) WITH (fillfactor = 80);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT generate_series(1, 100);
CREATE TABLE by_enum_parent (kind text, n int) PARTITION BY LIST (lower(kind));
CREATE TABLE by_enum_child PARTITION OF by_enum_parent FOR VALUES IN ('x');
INSERT INTO by_enum_parent VALUES ('X', 1);
CREATE TABLE no_partition (a int) PARTITION BY RANGE (a);
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'fired'; END$$;
CREATE TRIGGER on_all AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION fires();
ALTER TABLE events_2025 DISABLE TRIGGER on_all;

CREATE TABLE ancestor (id int PRIMARY KEY, word text DEFAULT 'ancestor', CHECK (id > 0));
CREATE TABLE other_ancestor (word text, more int);
CREATE TABLE heir (extra int, word text DEFAULT 'heir') INHERITS (ancestor, other_ancestor);
CREATE TABLE grandchild () INHERITS (heir);
INSERT INTO ancestor VALUES (1);
INSERT INTO heir (id, extra) VALUES (2, 7);
INSERT INTO grandchild (id, more) VALUES (3, 8);
ALTER TABLE heir ALTER COLUMN word SET NOT NULL;

--@ changed
ALTER TABLE events DETACH PARTITION events_2025;
DROP INDEX events_word;
DROP TABLE hashed;
DELETE FROM ancestor;
ALTER TABLE grandchild NO INHERIT heir;
ALTER TABLE by_enum_parent DETACH PARTITION by_enum_child;
ALTER TABLE events DETACH PARTITION events_2026;
DROP TABLE events_2026;
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2028-01-01');
