//! An agent's output on disk: records that a supervisor appends and anyone may read from a cursor.
