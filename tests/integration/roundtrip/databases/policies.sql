-- Row security, of owners too.
CREATE TABLE t (id int PRIMARY KEY, owner name DEFAULT current_user, secret boolean);
INSERT INTO t SELECT i, 'reader', i % 2 = 0 FROM generate_series(1, 30) i;
ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE t OWNER TO app;
CREATE POLICY readers ON t FOR SELECT TO reader, writer USING (owner = current_user);
CREATE POLICY not_secret ON t AS RESTRICTIVE USING (NOT secret) WITH CHECK (id > 0);
CREATE POLICY "it's for insert" ON t FOR INSERT TO PUBLIC WITH CHECK (EXISTS (SELECT FROM t t2 WHERE t2.id = id));
CREATE TABLE no_policy (a int);
INSERT INTO no_policy VALUES (1);
ALTER TABLE no_policy ENABLE ROW LEVEL SECURITY;
COMMENT ON POLICY readers ON t IS 'own rows';

--@ changed
DROP POLICY readers ON t;
CREATE POLICY readers ON t USING (true);
CREATE POLICY later ON t USING (true);
ALTER TABLE t NO FORCE ROW LEVEL SECURITY, OWNER TO writer;
ALTER TABLE no_policy DISABLE ROW LEVEL SECURITY;
DELETE FROM t;
