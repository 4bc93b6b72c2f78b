-- A known table comes back as it was, with all that is a part of it: what was added to it later goes.
CREATE TABLE t (id int PRIMARY KEY, a int);
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
INSERT INTO t VALUES (1, 1);

--@ changed
CREATE INDEX later_index ON t (a);
CREATE TRIGGER later_trigger BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fires();
CREATE POLICY later_policy ON t USING (true);
ALTER TABLE t ADD COLUMN later_serial serial, ADD CONSTRAINT later_check CHECK (a > 0), ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS later_statistics ON id, a FROM t;
CREATE RULE later_rule AS ON DELETE TO t DO ALSO NOTIFY later;
COMMENT ON COLUMN t.a IS 'later';
GRANT SELECT ON t TO reader;
