//! backuper
