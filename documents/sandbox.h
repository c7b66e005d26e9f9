// What lectern-reader may do once it has been told what to read: compute, read files, answer. Runs inside
// lectern-reader only.
#pragma once

#include <cstdint>

namespace lectern::documents {

/// No core files, `memory_bytes` of address space, out-of-memory ends the process with its own exit code, no new
/// privileges, and a seccomp allow-list: no writing, no network, no other programs. Cannot be undone. Throws
/// std::runtime_error if the kernel refuses.
void confine(std::int64_t memory_bytes);

/// Allows `seconds` of processor time from now on; then SIGXCPU ends the process.
void allow_processor_time(double seconds);

}  // namespace lectern::documents
