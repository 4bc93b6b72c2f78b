-- Configuration tables that refer to each other in a circle, which is checked at the end of a transaction.
CREATE EXTENSION roundtrip_circle;
BEGIN;
INSERT INTO circle_one VALUES (1, 1), (2, 2);
INSERT INTO circle_two VALUES (1, 2), (2, 1);
COMMIT;

--@ changed
BEGIN;
INSERT INTO circle_one VALUES (3, 3);
INSERT INTO circle_two VALUES (3, 3);
COMMIT;
UPDATE circle_two SET one = 1 WHERE one = 2;
