-- An encoding in which a character has two or three bytes.
\encoding UTF8
CREATE SCHEMA "図";
CREATE TABLE "大きさ" ("道" text DEFAULT '字', CHECK ("道" <> '火'));
INSERT INTO "大きさ" VALUES ('漢字'), ('カナ'), (E'\\.');
CREATE TABLE "図"."表" ("列" int PRIMARY KEY);
INSERT INTO "図"."表" VALUES (1);
CREATE VIEW "概要" AS SELECT "道" AS "Weg" FROM "大きさ" WHERE "道" <> '木';
CREATE FUNCTION "数"("引" int) RETURNS text LANGUAGE sql AS 'SELECT ''水''::text';
CREATE TYPE "farbe" AS ENUM ('緑');
CREATE SEQUENCE "番号";
SELECT nextval('"番号"');
GRANT SELECT ON "大きさ" TO reader;
GRANT SELECT ("道") ON "大きさ" TO writer;
GRANT EXECUTE ON FUNCTION "数"(int) TO reader;
COMMENT ON TABLE "大きさ" IS '説明';
CREATE INDEX "大きさ_道" ON "大きさ" (lower("道"));
SELECT lo_from_bytea(4711, convert_to('水', 'EUC_JP'));

--@ changed
\encoding UTF8
DELETE FROM "大きさ";
ALTER TABLE "図"."表" RENAME TO "表二";
DROP TABLE "図"."表二";
DROP VIEW "概要";
CREATE MATERIALIZED VIEW "概要" AS SELECT 1 AS "木";
