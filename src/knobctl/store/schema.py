"""The tables of the record, and the steps from each version of them to the next.

``PRAGMA user_version`` counts the steps that a file has been through. Steps are only ever appended.
"""

from __future__ import annotations

STEPS = (
    """
    CREATE TABLE session (
        id TEXT PRIMARY KEY,
        created TEXT NOT NULL,
        request TEXT NOT NULL,
        workload TEXT NOT NULL,
        plan TEXT NOT NULL,
        facts TEXT NOT NULL,
        target TEXT NOT NULL,
        simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)),
        searcher TEXT NOT NULL,
        budget INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        version TEXT NOT NULL,
        pid INTEGER NOT NULL,
        pid_started INTEGER NOT NULL,
        boot TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'interrupted', 'failed')),
        reason TEXT NOT NULL DEFAULT '',
        result TEXT
    ) STRICT;

    CREATE TABLE trial (
        session TEXT NOT NULL REFERENCES session (id),
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        configuration TEXT NOT NULL,
        score REAL,
        metrics TEXT NOT NULL,
        machine TEXT NOT NULL,
        samples TEXT NOT NULL,
        seconds REAL NOT NULL,
        reward REAL,
        failure TEXT NOT NULL,
        started REAL NOT NULL,
        PRIMARY KEY (session, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE pair (
        session TEXT NOT NULL REFERENCES session (id),
        number INTEGER NOT NULL,
        planned INTEGER NOT NULL,
        default_score REAL NOT NULL,
        candidate_score REAL NOT NULL,
        percent REAL NOT NULL,
        low_percent REAL,
        high_percent REAL,
        PRIMARY KEY (session, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE event (
        position INTEGER PRIMARY KEY,
        session TEXT NOT NULL REFERENCES session (id),
        kind TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;

    CREATE INDEX event_of_session ON event (session, position);
    """,
    """
    CREATE TABLE conversation (
        id TEXT PRIMARY KEY,
        created TEXT NOT NULL,
        request TEXT NOT NULL,
        model TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
        outcome TEXT NOT NULL DEFAULT ''
    ) STRICT;

    CREATE TABLE step (
        conversation TEXT NOT NULL REFERENCES conversation (id),
        number INTEGER NOT NULL,
        step TEXT NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (conversation, number)
    ) STRICT;

    ALTER TABLE session ADD COLUMN conversation TEXT NOT NULL DEFAULT '';

    CREATE INDEX session_of_conversation ON session (conversation);
    """,
    """
    ALTER TABLE trial ADD COLUMN cut_short INTEGER NOT NULL DEFAULT 0 CHECK (cut_short IN (0, 1));

    ALTER TABLE trial ADD COLUMN uncertainty REAL NOT NULL DEFAULT 0;

    ALTER TABLE session ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
    """,
    """
    ALTER TABLE trial ADD COLUMN ended REAL NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE memory (
        key TEXT PRIMARY KEY,
        created TEXT NOT NULL,
        imported TEXT NOT NULL,
        origin TEXT NOT NULL,
        simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)),
        metric TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        verdict TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;

    CREATE INDEX memory_of_metric ON memory (metric, simulated);

    ALTER TABLE session ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0 CHECK (forgotten IN (0, 1));

    CREATE INDEX session_of_metric ON session (json_extract(result, '$.metric'), simulated, created);
    """,
    """
    ALTER TABLE trial ADD COLUMN tripped TEXT NOT NULL DEFAULT '';

    ALTER TABLE trial ADD COLUMN refused INTEGER NOT NULL DEFAULT 0 CHECK (refused IN (0, 1));
    """,
)
"""``STEPS[n]`` brings a file from version ``n`` to ``n + 1``."""

VERSION = len(STEPS)
