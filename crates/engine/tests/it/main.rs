//! The rules of the engine, one sentence a test, in rooms: each phase has a file named after it, and so has what stands beside the
//! phases. A story that somebody found by attack says so in a comment.

#![allow(clippy::unwrap_used, reason = "a test may")]

// What tests of several rooms are made of.
mod decided;
mod edits;
mod scene;
mod world;

// Phases.
mod aborting;
mod armed;
mod awaiting;
mod deploying;
mod first;
mod monitoring;
mod promotion;
mod rest;
mod scaling_down;
mod scaling_up;
mod verifying;
mod way_back;

// What holds in every phase.
mod absence;
mod bytes;
mod conditions;
mod decide;
mod events;
mod history;
mod input;
mod laggards;
mod late;
mod lost;
mod orders;
mod pause;
mod ports;
mod progress;
mod refusals;
mod score;
mod short;
mod sizes;
mod templates;

// What is done, and what is measured.
mod act;
mod measure;

// To be read: stories, waits, and the examples of the docs.
mod docs;
mod timelines;
mod waits;
mod walls;
