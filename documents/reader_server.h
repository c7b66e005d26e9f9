// The serving side of reader_protocol.h. Runs inside lectern-reader only.
#pragma once

namespace lectern::documents {

/// Answers requests until the other side closes. Returns the exit code.
int serve();

}  // namespace lectern::documents
