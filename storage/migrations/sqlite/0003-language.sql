-- What the whole language needs: what a step found out on its way (memo), what it wrote to the state, the memory of
-- threads, and paths with numbers in them in the order people count.

-- Steps are now kept by `place`, which the program makes of the path (storage/step_path.c): its bytes are in the
-- order of the steps. Paths of before had neither numbers nor characters it treats otherwise but the dot.
-- Rows lie in the order they were written, not in that of the key as in other tables: to look for a key there,
-- SQLite reads the values beside it whole, however large.
CREATE TABLE steps_by_place (
    tenant              TEXT    NOT NULL,
    run                 TEXT    NOT NULL,
    place               TEXT    NOT NULL,
    path                TEXT    NOT NULL,
    kind                TEXT    NOT NULL,
    status              TEXT    NOT NULL,
    phase               TEXT    NOT NULL,
    attempts            INTEGER NOT NULL,
    tries               INTEGER NOT NULL,
    handled             INTEGER NOT NULL,
    counted             INTEGER NOT NULL,
    model               TEXT    NOT NULL,
    output              TEXT,
    error               TEXT,
    reason              TEXT    NOT NULL,
    join_state          TEXT    NOT NULL,
    calls               INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    cost_usd            REAL,
    created_at          INTEGER NOT NULL,
    started_at          INTEGER NOT NULL,
    ended_at            INTEGER NOT NULL,
    wake_at             INTEGER NOT NULL,
    sent_at             INTEGER NOT NULL,
    PRIMARY KEY (tenant, run, place)
) STRICT;

INSERT INTO steps_by_place
    SELECT tenant, run, replace(path, '.', '!'), path, kind, status, phase, attempts, tries, handled, counted, model,
        output, error, reason, join_state, calls, input_tokens, cached_input_tokens, output_tokens,
        cost_usd, created_at, started_at, ended_at, wake_at, sent_at
    FROM steps;

DROP TABLE steps;
ALTER TABLE steps_by_place RENAME TO steps;

-- Which runs wait for a person, and where.
CREATE INDEX steps_waiting ON steps (tenant, run) WHERE status = 'waiting';

-- What few steps have, written once and apart: the row in steps is replaced whole each time a step gets on.
CREATE TABLE step_notes (
    tenant TEXT NOT NULL,
    run    TEXT NOT NULL,
    place  TEXT NOT NULL,
    memo   TEXT,
    writes TEXT,
    PRIMARY KEY (tenant, run, place)
) STRICT;

CREATE TABLE threads (
    tenant     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

-- The same of definitions, inputs and outputs, which may be large. A large output is kept in run_outputs.
CREATE TABLE definitions_by_row (
    tenant TEXT NOT NULL,
    hash   TEXT NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT;

INSERT INTO definitions_by_row SELECT tenant, hash, text FROM definitions;
DROP TABLE definitions;
ALTER TABLE definitions_by_row RENAME TO definitions;

CREATE TABLE run_inputs_by_row (
    tenant TEXT NOT NULL,
    id     TEXT NOT NULL,
    input  TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

INSERT INTO run_inputs_by_row SELECT tenant, id, input FROM run_inputs;
DROP TABLE run_inputs;
ALTER TABLE run_inputs_by_row RENAME TO run_inputs;

CREATE TABLE run_outputs (
    tenant TEXT NOT NULL,
    id     TEXT NOT NULL,
    output TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

ALTER TABLE runs ADD COLUMN output_apart INTEGER NOT NULL DEFAULT 0;
INSERT INTO run_outputs SELECT tenant, id, output FROM runs WHERE length(output) > 1024;
UPDATE runs SET output = NULL, output_apart = 1 WHERE length(output) > 1024;

-- Unfinished runs come back in the order of their ids, which is that of their threads' turns. Whether a thread has a
-- turn going on is asked before its state is set from outside.
DROP INDEX runs_unfinished;
CREATE INDEX runs_unfinished ON runs (id, tenant) WHERE ended_at = 0;
CREATE INDEX runs_turns ON runs (tenant, thread) WHERE ended_at = 0 AND thread <> '';

PRAGMA user_version = 3;
