//! Addresses, CIDRs, ranges, MACs and the allocator (pure)
