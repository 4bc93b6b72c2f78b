-- Words that begin or end a transaction, at the beginning of lines of everything.
CREATE TABLE words (word text, more text, rest text);
INSERT INTO words VALUES
  ('COMMIT;', 'x', E'\nCOMMIT;\n'), ('BEGIN;', NULL, 'a'), ('ROLLBACK', '', E'\\.'), (E'\\.', 'END;', ''),
  ('END', 'COMMIT', 'ABORT;'), ('START TRANSACTION;', '', ''), ('SAVEPOINT a;', '', ''), ('RELEASE a;', '', ''),
  ('PREPARE TRANSACTION ''x'';', '', ''), ('\q', '\restrict x', '\unrestrict'), ('COPY words FROM stdin;', '1', '2'),
  ('it''s', '"', '$$'), ('/*', '--', '*/'), (E'COMMIT;\r\nBEGIN;\r\n', '', ''), ('commit and chain', '', '');
CREATE TABLE commit (commit text, rollback text DEFAULT E'\nCOMMIT;\n', CONSTRAINT rollback CHECK (commit <> E'\nEND;\n'));
INSERT INTO commit VALUES ('COMMIT');
CREATE VIEW begin AS
SELECT
commit,
rollback FROM
commit WHERE commit <> '
COMMIT;
' ;
CREATE FUNCTION ends() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN '
COMMIT;
ROLLBACK;
END;
';
END;
$$;
CREATE FUNCTION quoted() RETURNS text LANGUAGE sql AS '
SELECT ''
BEGIN;
$$
COMMIT;
''
';
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $_$
BEGIN
COMMIT;
ROLLBACK;
END
$_$;
\if :from_14
CREATE FUNCTION atomic() RETURNS text LANGUAGE sql
BEGIN ATOMIC
SELECT commit FROM commit;
SELECT '
END;
COMMIT;
'::text;
END;
\endif
CREATE TYPE abort AS ENUM ('COMMIT', E'\nEND;\n', 'ROLLBACK');
CREATE RULE commit AS ON UPDATE TO commit DO ALSO (SELECT 1; SELECT '
COMMIT;
'::text);
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS '
BEGIN
RETURN NEW;
END';
CREATE TRIGGER commit BEFORE UPDATE ON words FOR EACH ROW WHEN (NEW.word <> '
COMMIT;
') EXECUTE FUNCTION fires('
ROLLBACK;
');
CREATE INDEX commit_words ON words ((word || '
COMMIT;
'));
CREATE POLICY commit ON words USING (word <> '
END;
');
COMMENT ON TABLE words IS '
BEGIN;
COMMIT;
';
ALTER TABLE words ALTER more SET DEFAULT '
START TRANSACTION;
';
SELECT lo_from_bytea(4711, E'\\x0a434f4d4d49543b0a');

--@ changed
DELETE FROM words WHERE word ~ 'COMMIT';
DROP VIEW begin;
ALTER TABLE commit DROP CONSTRAINT rollback;
CREATE OR REPLACE FUNCTION ends() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
