//! Acceptance tests: one program, so that they run one at a time on the one sandbox.

mod admission;
mod alerts;
mod coexistence;
mod established;
mod faults;
mod ko;
mod neutron;
mod outages;
mod refusals;
mod tenants;
mod tls;
