// From documents, earlier turns and a question to the segments of a request.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/library.h"
#include "app/records.h"
#include "documents/document.h"
#include "documents/passages.h"
#include "inference/engine.h"

namespace lectern::app {

/// Names of segments (Segment::id): what was computed with them is forgotten by these names. A whole document's is its
/// fingerprint.
std::string message_id(std::int64_t message);
std::string passages_id(const std::string& fingerprint, std::int64_t question);

struct PromptInput {
  std::vector<const documents::Document*>
      documents;                  // in the session's order; a document's number is its place, from 1
  std::vector<Message> history;   // the branch before the question, oldest first
  Message question;               // saved already: its id names its segment
  std::int64_t max_tokens = 512;  // room that the answer needs
  /// The full-text index, asked only if the documents do not fit; `document` of a hit by fingerprint.
  std::function<std::vector<PassageHit>(const std::string& question, int limit)> search;
};

struct Prompt {
  std::vector<inference::Segment> segments;
  bool whole_documents = true;
  std::vector<std::vector<documents::Passage>> given;  // for each document what stands in the prompt, if not whole
  int turns_left_out = 0;                              // oldest questions with their answers
};

/// The rules, in the order in which they give way:
///   1. Documents that fit the window beside the question are given whole, all in the first user turn, before anything
///   that changes;
///      they stay there for every follow-up.
///   2. If they do not fit, each question brings passages chosen for it, in its own user turn: six tenths of the window
///   for the first
///      question, a quarter for each follow-up, nothing twice. Earlier turns stay byte for byte.
///   3. If the conversation does not fit any more, its oldest turns are left out, and `turns_left_out` says how many.
class PromptBuilder {
 public:
  explicit PromptBuilder(const inference::Engine& engine);

  /// Throws lectern::Error{bad_request} if not even the question fits.
  Prompt build(const PromptInput& input) const;
  /// What a next question would be asked behind, with an empty question at its end; nothing if passages would be
  /// chosen.
  std::vector<inference::Segment> before_question(PromptInput input) const;
  /// The documents alone, for reading them ahead of any question; nothing if they do not fit.
  std::vector<inference::Segment> documents_only(const std::vector<const documents::Document*>& documents) const;

 private:
  struct Turn;
  inference::GenerationRequest request_of(std::vector<inference::Segment> segments) const;
  bool fits(const std::vector<inference::Segment>& segments, std::int64_t budget) const;
  inference::Segment system_segment() const;
  std::vector<Turn> turns_of(const PromptInput& input) const;
  void add_turn(std::vector<inference::Segment>& segments, const Turn& turn, int& message) const;
  bool choose_passages(const PromptInput& input, const std::string& question, std::int64_t budget, Prompt& prompt,
                       std::vector<std::vector<documents::Passage>>& chosen) const;
  std::optional<Prompt> whole_if_it_fits(const PromptInput& input, const std::vector<Turn>& turns,
                                         std::int64_t budget) const;
  Prompt build_whole(const PromptInput& input, const std::vector<Turn>& turns, std::int64_t budget) const;
  Prompt build_passages(const PromptInput& input, const std::vector<Turn>& turns, std::int64_t budget) const;

  const inference::Engine& engine_;
  inference::ModelDescription model_;
};

}  // namespace lectern::app
