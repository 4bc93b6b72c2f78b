DROP FUNCTION reset_all();
CREATE FUNCTION reset_all(what int DEFAULT 0) RETURNS void LANGUAGE sql AS '';
