-- Views, materialized ones, and what hangs on them.
CREATE TABLE t (id int PRIMARY KEY, word text, n int);
INSERT INTO t SELECT i, 'word ' || i, i % 5 FROM generate_series(1, 100) i;
CREATE VIEW plain AS SELECT id, word FROM t WHERE n > 1;
CREATE VIEW upon AS SELECT p.*, q.word AS other FROM plain p JOIN plain q USING (id);
CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM t;
CREATE VIEW checking AS SELECT * FROM t WHERE n < 3 WITH LOCAL CHECK OPTION;
CREATE VIEW checking_all AS SELECT * FROM checking WITH CASCADED CHECK OPTION;
CREATE RECURSIVE VIEW numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 10;
CREATE VIEW with_default AS SELECT * FROM t;
ALTER VIEW with_default ALTER COLUMN n SET DEFAULT 42;
-- By the key alone: the view needs the constraint, so it is made after it.
CREATE VIEW by_key AS SELECT t.id, t.word, count(*) FROM t GROUP BY t.id;
CREATE MATERIALIZED VIEW summed AS SELECT n, count(*) AS c FROM t GROUP BY n ORDER BY n;
CREATE UNIQUE INDEX ON summed (n);
CREATE MATERIALIZED VIEW upon_summed WITH (fillfactor = 50) AS SELECT sum(c) FROM summed;
CREATE MATERIALIZED VIEW by_key_too AS SELECT t.id, t.word, count(*) FROM t GROUP BY t.id;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS a WITH NO DATA;
CREATE VIEW circle_a AS SELECT 1 AS a;
CREATE VIEW circle_b AS SELECT a FROM circle_a;
CREATE OR REPLACE VIEW circle_a AS SELECT a FROM circle_b WHERE false;
CREATE FUNCTION of_view(plain) RETURNS text LANGUAGE sql AS 'SELECT $1.word';
CREATE VIEW by_function AS SELECT of_view(plain) FROM plain;
CREATE TABLE has_rows_of_view (p plain);
INSERT INTO has_rows_of_view SELECT plain FROM plain LIMIT 3;
CREATE RULE instead AS ON INSERT TO plain DO INSTEAD INSERT INTO t VALUES (NEW.id, NEW.word, 9);
CREATE RULE also AS ON UPDATE TO t DO ALSO NOTIFY updated;
CREATE RULE nothing AS ON DELETE TO t WHERE false DO INSTEAD NOTHING;
ALTER TABLE t DISABLE RULE nothing;
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER instead_of INSTEAD OF DELETE ON plain FOR EACH ROW EXECUTE FUNCTION no();
\if :from_15
CREATE VIEW invoker WITH (security_invoker) AS SELECT * FROM t;
\endif
COMMENT ON VIEW plain IS 'a view';
COMMENT ON COLUMN plain.word IS 'its word';
COMMENT ON MATERIALIZED VIEW summed IS 'a sum';
COMMENT ON RULE instead ON plain IS 'not here';

--@ changed
DROP MATERIALIZED VIEW upon_summed;
CREATE OR REPLACE VIEW barrier AS SELECT * FROM t WHERE EXISTS (SELECT FROM summed);
UPDATE t SET n = 7;
REFRESH MATERIALIZED VIEW summed;
REFRESH MATERIALIZED VIEW unfilled;
DROP VIEW upon;
DROP VIEW circle_a, circle_b CASCADE;
CREATE VIEW circle_b AS SELECT 2 AS a;
