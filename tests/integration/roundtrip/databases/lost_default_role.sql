-- Default privileges of a role that the target lacks.
CREATE ROLE lost_default_role;
CREATE TABLE t (a int);
ALTER DEFAULT PRIVILEGES FOR ROLE lost_default_role GRANT SELECT ON TABLES TO reader;

--@ lacking
ALTER DEFAULT PRIVILEGES FOR ROLE lost_default_role REVOKE SELECT ON TABLES FROM reader;
DROP ROLE lost_default_role;
