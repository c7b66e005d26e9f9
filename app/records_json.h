// Records as JSON: what the sessions keep in the database, and the parts that the command line prints.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "app/records.h"

namespace lectern::app {

// Names as they stand in JSON and in the database: "verified", "program", "complete", "assistant" ...
const char* name(CitationStatus status);
const char* name(CitationOrigin origin);
const char* name(MessageState state);
const char* name(inference::Role role);
// The values of those names; an unknown name gives the cautious value (absent, program, stopped, user).
CitationStatus citation_status(std::string_view name);
CitationOrigin citation_origin(std::string_view name);
MessageState message_state(std::string_view name);
inference::Role role(std::string_view name);

/// Whole records for the database: compact JSON text. Reading is forgiving: a missing or ill-typed field keeps its
/// default, and text that is no JSON at all gives an empty record.
std::string report_to_text(const AnswerReport& report);
AnswerReport report_from_text(std::string_view text);
std::string citations_to_text(const std::vector<Citation>& citations);
std::vector<Citation> citations_from_text(std::string_view text);

/// Parts of the command line's JSON (architecture.md, "Contracts").
nlohmann::ordered_json citation_json(const Citation& citation);
nlohmann::ordered_json coverage_json(const Coverage& coverage);
nlohmann::ordered_json usage_json(const inference::Usage& usage);
/// One message of `sessions show --json`: {id, parent, role, text, state, citations} and, where there is one, the
/// problem.
nlohmann::ordered_json message_json(const Message& message);

}  // namespace lectern::app
