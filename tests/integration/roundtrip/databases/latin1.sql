-- Another encoding than UTF-8.
\encoding UTF8
CREATE SCHEMA "Schöma";
CREATE TABLE "größe" ("straße" text DEFAULT 'ß', CHECK ("straße" <> 'é'));
INSERT INTO "größe" VALUES ('ÄÖÜ'), ('¡¿ÿ'), (E'\\.');
CREATE TABLE "Schöma"."é" ("ü" int PRIMARY KEY);
INSERT INTO "Schöma"."é" VALUES (1);
CREATE VIEW "übersicht" AS SELECT "straße" AS "Weg" FROM "größe" WHERE "straße" <> 'ö';
CREATE FUNCTION "zählt"("ä" int) RETURNS text LANGUAGE sql AS 'SELECT ''ä''::text';
CREATE TYPE "farbe" AS ENUM ('grün');
CREATE SEQUENCE "zähler";
SELECT nextval('"zähler"');
GRANT SELECT ON "größe" TO reader;
GRANT SELECT ("straße") ON "größe" TO writer;
GRANT EXECUTE ON FUNCTION "zählt"(int) TO reader;
COMMENT ON TABLE "größe" IS 'ça va';
CREATE INDEX "größe_straße" ON "größe" (lower("straße"));
SELECT lo_from_bytea(4711, convert_to('ä', 'LATIN1'));

--@ changed
\encoding UTF8
DELETE FROM "größe";
ALTER TABLE "Schöma"."é" RENAME TO "è";
DROP TABLE "Schöma"."è";
DROP VIEW "übersicht";
CREATE MATERIALIZED VIEW "übersicht" AS SELECT 1 AS "ö";
