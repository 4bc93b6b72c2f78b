-- Names that must be quoted, and quoted right.
CREATE SCHEMA "We ""ird";
CREATE SCHEMA "$oiler$";
CREATE SCHEMA "semi;colon";
CREATE TABLE "We ""ird"."T ""a" (x text COLLATE "C", "sel ect" int, "$oiler$" int, "naïve 😀" int, "a.b" int, "1" int);
INSERT INTO "We ""ird"."T ""a" SELECT 'a' || chr(9) || E'b\\n', i, i, i FROM generate_series(1, 10) i;
CREATE TABLE "We ""ird"."UPPER;--" (a int PRIMARY KEY);
CREATE TABLE "$oiler$"."$oiler$" ("$oiler$" int PRIMARY KEY, "$$" int, "$_$" int);
INSERT INTO "$oiler$"."$oiler$" VALUES (1, 2, 3);
CREATE VIEW "$oiler$"."$oiler_1$" AS SELECT * FROM "$oiler$"."$oiler$";
CREATE FUNCTION "$oiler$"."$oiler$"("$oiler$" int) RETURNS int LANGUAGE sql AS $o$ SELECT $1 /* $oiler$ $oiler_0$ */ $o$;
CREATE TYPE "$oiler$"."$oiler$_type" AS ENUM ('$oiler$', 'it''s', E'back\\slash');
ALTER TABLE "$oiler$"."$oiler$" ADD CONSTRAINT "$oiler$; DROP" CHECK ("$$" > 0);
CREATE TABLE "semi;colon"."COMMIT;" ("ROLLBACK;" int DEFAULT 1, "--" int, "/*" int);
INSERT INTO "semi;colon"."COMMIT;" DEFAULT VALUES;
CREATE TABLE U&"line\000Abreak" (U&"\000ACOMMIT;\000A" int);
INSERT INTO U&"line\000Abreak" VALUES (1);
CREATE TABLE U&"return\000D\000A" (a int);
CREATE TABLE "back\slash" ("a\b" int, "'" int, "it's" int);
CREATE TABLE ":variable" (":'a'" int, "%s" int, "${HOME}" int, "`x`" int, "|sh" int);
INSERT INTO ":variable" VALUES (1);
CREATE TABLE "a table" ("a column" int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE "*" ("?" int);
CREATE TABLE "t,u" (a int);
CREATE TABLE "(t)" (a int);
CREATE TABLE " " (" " int);
CREATE TABLE pg_like (a int);
CREATE TABLE "TO PUBLIC" ("FROM" int);
GRANT SELECT ON "TO PUBLIC", "t,u" TO reader;
GRANT SELECT ("FROM") ON "TO PUBLIC" TO writer;
CREATE TABLE "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüä" (a int);
CREATE TABLE "t12345678901234567890123456789012345678901234567890123456789012" ("c12345678901234567890123456789012345678901234567890123456789012" serial);
CREATE FUNCTION "f (x)"("a b" int, "c,d" text DEFAULT ')') RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION "f (x)"("a b" "semi;colon"."COMMIT;") RETURNS int LANGUAGE sql AS 'SELECT 1';
GRANT EXECUTE ON FUNCTION "f (x)"(int, text) TO reader;
CREATE VIEW "v ""x""" AS SELECT "sel ect" AS "As ""is""" FROM "We ""ird"."T ""a";
CREATE SEQUENCE "s'q";
SELECT nextval('"s''q"');
CREATE INDEX "i ""x""" ON "back\slash" ("a\b", "'");
CREATE TYPE "Type ""x""" AS ("At ""x""" int);
CREATE DOMAIN "d;" AS text CONSTRAINT "c;" CHECK (value <> ';');
CREATE TABLE uses ("Type ""x""" "Type ""x""", d "d;", e "$oiler$"."$oiler$_type");
INSERT INTO uses VALUES ('(1)', 'x', '$oiler$');
CREATE PUBLICATION "pub ""x""" FOR TABLE "a table";
CREATE TABLE oiler_restore (a int);

--@ changed
DROP TABLE "a table";
CREATE VIEW "a table" AS SELECT 1 AS "a column";
ALTER TABLE "$oiler$"."$oiler$" DROP CONSTRAINT "$oiler$; DROP";
CREATE TABLE "$oiler$"."$oiler_2$" (a int);
DROP FUNCTION "f (x)"(int, text);
UPDATE ":variable" SET ":'a'" = 2;
ALTER TABLE "back\slash" DROP COLUMN "'";

--@ stays
DROP TABLE "$oiler$"."$oiler_2$";
