-- Every unreserved keyword of the server's version, unquoted in a dump, as a name of each kind of object.
CREATE SCHEMA k;
SET search_path = k;
-- As columns, attributes and arguments: they begin lines in a dump.
SELECT format('CREATE TABLE columns_%s (%s)', n, string_agg(format('%I int DEFAULT 1', word), ', ' ORDER BY word))
  FROM (SELECT word, row_number() OVER (ORDER BY word) / 100 AS n FROM pg_get_keywords() WHERE catcode = 'U') k GROUP BY n \gexec
SELECT format('INSERT INTO columns_%s DEFAULT VALUES', n)
  FROM (SELECT DISTINCT row_number() OVER (ORDER BY word) / 100 AS n FROM pg_get_keywords() WHERE catcode = 'U') k \gexec
SELECT format('CREATE VIEW view_%s AS SELECT %s FROM columns_%1$s ORDER BY %s', n, string_agg(format('%I', word), ', ' ORDER BY word), min(format('%I', word)))
  FROM (SELECT word, row_number() OVER (ORDER BY word) / 100 AS n FROM pg_get_keywords() WHERE catcode = 'U') k GROUP BY n \gexec
SELECT format('CREATE TYPE attributes AS (%s)', string_agg(format('%I int', word), ', ' ORDER BY word))
  FROM pg_get_keywords() WHERE catcode = 'U' \gexec
SELECT format('CREATE TYPE labels AS ENUM (%s)', string_agg(format('%L', word), ', ' ORDER BY word))
  FROM pg_get_keywords() WHERE catcode = 'U' \gexec
SELECT format('CREATE FUNCTION arguments_%s(%s) RETURNS int LANGUAGE sql AS ''SELECT 1''', n, string_agg(format('%I int DEFAULT 1', word), ', ' ORDER BY word))
  FROM (SELECT word, row_number() OVER (ORDER BY word) / 90 AS n FROM pg_get_keywords() WHERE catcode = 'U') k GROUP BY n \gexec
SELECT format('CREATE FUNCTION returns_%s() RETURNS TABLE (%s) LANGUAGE sql AS ''SELECT %s''', n, string_agg(format('%I int', word), ', ' ORDER BY word), string_agg('1', ', '))
  FROM (SELECT word, row_number() OVER (ORDER BY word) / 90 AS n FROM pg_get_keywords() WHERE catcode = 'U') k GROUP BY n \gexec
-- As objects, each with a comment and a privilege. A keyword is a table here and a type there, since both are types.
CREATE SCHEMA k2;
SELECT format('CREATE TABLE k.%I (%1$I int DEFAULT 1, CONSTRAINT %1$I CHECK (%1$I > 0))', word),
       format('COMMENT ON TABLE k.%I IS %L', word, word), format('GRANT SELECT ON k.%I TO reader', word),
       format('INSERT INTO k.%I DEFAULT VALUES', word),
       format('CREATE FUNCTION k.%I(int) RETURNS int LANGUAGE sql AS ''SELECT $1''', word),
       format('GRANT EXECUTE ON FUNCTION k.%I(int) TO reader', word),
       format('COMMENT ON FUNCTION k.%I(int) IS %L', word, word)
  FROM pg_get_keywords() WHERE catcode = 'U' ORDER BY word \gexec
SELECT CASE row_number() OVER (ORDER BY word) % 5
         WHEN 0 THEN format('CREATE TYPE k2.%I AS (%1$I int)', word)
         WHEN 1 THEN format('CREATE DOMAIN k2.%I AS int CONSTRAINT %1$I CHECK (value > 0)', word)
         WHEN 2 THEN format('CREATE SEQUENCE k2.%I', word)
         WHEN 3 THEN format('CREATE VIEW k2.%I AS SELECT 1 AS %1$I', word)
         ELSE format('CREATE MATERIALIZED VIEW k2.%I AS SELECT 1 AS %1$I', word) END,
       CASE row_number() OVER (ORDER BY word) % 5
         WHEN 0 THEN format('CREATE COLLATION k2.%I FROM "C"', word)
         WHEN 1 THEN format('CREATE TEXT SEARCH CONFIGURATION k2.%I (COPY = simple)', word)
         WHEN 2 THEN format('CREATE AGGREGATE k2.%I(int) (sfunc = int4pl, stype = int)', word)
         WHEN 3 THEN format('CREATE PROCEDURE k2.%I() LANGUAGE sql AS ''''', word)
         ELSE format('CREATE STATISTICS k2.%I ON abort, absolute FROM k.columns_0', word) END,
       CASE row_number() OVER (ORDER BY word) % 5
         WHEN 0 THEN format('CREATE SCHEMA %I', word)
         WHEN 1 THEN format('CREATE RULE %I AS ON DELETE TO k.%1$I DO INSTEAD NOTHING', word)
         WHEN 2 THEN format('CREATE POLICY %I ON k.%1$I USING (%1$I > 0)', word)
         WHEN 3 THEN format('CREATE INDEX k2_%s ON k.%1$I (%1$I)', word)
         ELSE format('CREATE PUBLICATION %I FOR TABLE k.%1$I', word) END
  FROM pg_get_keywords() WHERE catcode = 'U' ORDER BY word \gexec
-- As it was seen.
CREATE TABLE public.builds (id int PRIMARY KEY, commit text, rollback boolean, begin int, "end" int, abort int, start int, savepoint int, release int, prepare int);
INSERT INTO public.builds VALUES (1, 'abc', true);

--@ changed
DROP TABLE public.builds;
CREATE TABLE public.builds (commit int);
DROP FUNCTION k.commit(int), k.rollback(int);
INSERT INTO k.begin VALUES (2);
