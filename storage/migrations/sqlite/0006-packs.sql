-- The events of a batch are one row, or few: storage/event_pack.h says how they are packed. Rows lie in the order they
-- were written: what runs add at the same time lies side by side, where by run each would change a page of its own.
CREATE TABLE event_packs (
    tenant   TEXT    NOT NULL,
    run      TEXT    NOT NULL,
    last_seq INTEGER NOT NULL,
    pack     TEXT    NOT NULL,
    PRIMARY KEY (tenant, run, last_seq)
) STRICT;

INSERT INTO event_packs
    SELECT tenant, run, seq,
        '[[' || seq || ',' || at || ',' || json_quote(type) || ',' || json_quote(path) || ',' || attempt || ','
            || CASE data WHEN '' THEN 'null' ELSE data END || ']]'
    FROM events;

DROP TABLE events;
ALTER TABLE event_packs RENAME TO events;

PRAGMA user_version = 6;
