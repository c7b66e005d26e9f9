// A kept reading is found again by its prefix, so whatever comes first must never change: the system block, then the
// documents in the session's order, each its own segment of bytes that depend on the document alone. Only then comes
// what a question brings. Passages are a pure function of the library, the question and the window, so that a follow-up
// rebuilds the turns before it to the byte without having kept them.
#include "app/prompt_builder.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "app/embedded_files.h"
#include "documents/segments.h"
#include "documents/utf8.h"
#include "kernels/error.h"

namespace lectern::app {

using inference::Role;
using inference::Segment;

namespace {

constexpr double first_question_share = 0.6;  // of the window, for passages
constexpr double follow_up_share = 0.25;
constexpr std::int64_t marker_tokens = 12;  // a marker and the line breaks around a passage
constexpr std::int64_t header_tokens = 40;  // "Document 1: name (12 pages)"
constexpr int hits_asked = 200;

Segment document_segment(const std::string& id, std::string text, int message) {
  Segment segment;
  segment.kind = Segment::Kind::document;
  segment.role = Role::user;
  segment.message = message;
  segment.id = id;
  segment.text = std::move(text);
  return segment;
}

Segment question_segment(const Message& question, bool after_documents, int message) {
  Segment segment;
  segment.role = Role::user;
  segment.message = message;
  segment.id = message_id(question.id);
  segment.text = after_documents ? "\nQuestion: " + question.text : question.text;
  return segment;
}

bool same_place(const documents::Passage& one, const documents::Passage& other) {
  return one.page == other.page && one.start < other.end && other.start < one.end;
}

std::string too_long(std::int64_t needed, std::int64_t window) {
  return "question: it needs " + std::to_string(needed) + " tokens and the model's window holds " +
         std::to_string(window) +
         "; shorten it, lower the length of the answer, or open the model with a longer context";
}

}  // namespace

std::string message_id(std::int64_t message) {
  return "message-" + std::to_string(message);
}

std::string passages_id(const std::string& fingerprint, std::int64_t question) {
  return fingerprint + "#" + message_id(question);
}

struct PromptBuilder::Turn {
  const Message* question = nullptr;
  const Message* answer = nullptr;  // null: the question that is asked now
  std::vector<Segment> passages;    // before the question
};

PromptBuilder::PromptBuilder(const inference::Engine& engine) : engine_(engine), model_(engine.describe()) {}

inference::GenerationRequest PromptBuilder::request_of(std::vector<Segment> segments) const {
  inference::GenerationRequest request;
  request.segments = std::move(segments);
  return request;
}

bool PromptBuilder::fits(const std::vector<Segment>& segments, std::int64_t budget) const {
  return engine_.count_prompt(request_of(segments)) <= budget;
}

Segment PromptBuilder::system_segment() const {
  Segment segment;
  segment.kind = Segment::Kind::system;
  segment.role = Role::system;
  segment.message = 0;
  segment.id = "system";
  segment.text = std::string(embedded_file("prompts/system.txt"));
  while (!segment.text.empty() && segment.text.back() == '\n') segment.text.pop_back();
  return segment;
}

std::vector<PromptBuilder::Turn> PromptBuilder::turns_of(const PromptInput& input) const {
  std::vector<Turn> turns;
  for (std::size_t at = 0; at + 1 < input.history.size(); ++at) {
    const Message& question = input.history[at];
    const Message& answer = input.history[at + 1];
    // An answer that failed before its first word leaves no turn.
    if (question.role != Role::user || answer.role != Role::assistant || answer.text.empty()) continue;
    turns.push_back({&question, &answer, {}});
  }
  turns.push_back({&input.question, nullptr, {}});
  return turns;
}

void PromptBuilder::add_turn(std::vector<Segment>& segments, const Turn& turn, int& message) const {
  const bool documents_before = !turn.passages.empty() || (!segments.empty() && segments.back().message == message);
  for (Segment passage : turn.passages) {
    passage.message = message;
    segments.push_back(std::move(passage));
  }
  segments.push_back(question_segment(*turn.question, documents_before, message));
  if (turn.answer == nullptr) return;
  Segment answer;
  answer.role = Role::assistant;
  answer.message = message + 1;
  answer.id = message_id(turn.answer->id);
  answer.text = turn.answer->text;
  // The ids are those of the model that wrote them; another model reads the text.
  if (turn.answer->report && turn.answer->report->model.file == model_.file) answer.token_ids = turn.answer->token_ids;
  segments.push_back(std::move(answer));
  message += 2;
}

Prompt PromptBuilder::build(const PromptInput& input) const {
  const std::int64_t budget = model_.window - std::min(input.max_tokens, model_.window / 4);
  std::vector<Turn> turns = turns_of(input);
  std::vector<Segment> alone = {system_segment()};
  int message = 1;
  add_turn(alone, turns.back(), message);
  const std::int64_t needed = engine_.count_prompt(request_of(alone));
  if (needed > budget) throw Error(ErrorKind::bad_request, too_long(needed, model_.window));

  if (std::optional<Prompt> whole = whole_if_it_fits(input, turns, budget)) return std::move(*whole);
  return build_passages(input, turns, budget);
}

std::optional<Prompt> PromptBuilder::whole_if_it_fits(const PromptInput& input, const std::vector<Turn>& turns,
                                                      std::int64_t budget) const {
  if (input.documents.empty()) return build_whole(input, turns, budget);
  std::vector<Segment> whole = documents_only(input.documents);
  if (whole.empty()) return std::nullopt;
  int message = 1;
  add_turn(whole, turns.back(), message);
  if (!fits(whole, budget)) return std::nullopt;
  return build_whole(input, turns, budget);
}

std::vector<Segment> PromptBuilder::before_question(PromptInput input) const {
  input.question = Message();
  const std::int64_t budget = model_.window - std::min(input.max_tokens, model_.window / 4);
  std::optional<Prompt> whole = whole_if_it_fits(input, turns_of(input), budget);
  return whole ? std::move(whole->segments) : std::vector<Segment>();
}

std::vector<Segment> PromptBuilder::documents_only(const std::vector<const documents::Document*>& documents) const {
  std::vector<Segment> segments = {system_segment()};
  int number = 0;
  for (const documents::Document* document : documents) {
    segments.push_back(
        document_segment(document->fingerprint, documents::document_segment_text(*document, ++number), 1));
  }
  // A text of several times the window need not be tokenised to see that it does not fit: no tokenizer here joins more
  // than 64 bytes.
  std::int64_t bytes = 0;
  for (const Segment& segment : segments) bytes += static_cast<std::int64_t>(segment.text.size());
  if (bytes / 64 > model_.window || !fits(segments, model_.window)) return {};
  return segments;
}

Prompt PromptBuilder::build_whole(const PromptInput& input, const std::vector<Turn>& turns, std::int64_t budget) const {
  Prompt prompt;
  prompt.given.resize(input.documents.size());
  for (std::size_t first = 0; first < turns.size(); ++first) {
    prompt.segments = {system_segment()};
    int number = 0, message = 1;
    for (const documents::Document* document : input.documents) {
      prompt.segments.push_back(
          document_segment(document->fingerprint, documents::document_segment_text(*document, ++number), 1));
    }
    for (std::size_t at = first; at < turns.size(); ++at) add_turn(prompt.segments, turns[at], message);
    prompt.turns_left_out = static_cast<int>(first);
    if (fits(prompt.segments, budget)) break;
  }
  return prompt;
}

bool PromptBuilder::choose_passages(const PromptInput& input, const std::string& question, std::int64_t budget,
                                    Prompt& prompt, std::vector<std::vector<documents::Passage>>& chosen) const {
  std::map<std::string, std::size_t> index;
  for (std::size_t at = 0; at < input.documents.size(); ++at) index.emplace(input.documents[at]->fingerprint, at);
  chosen.assign(input.documents.size(), {});
  std::int64_t used = 0;
  bool any = false, full = false;
  const auto add = [&](std::size_t document, const documents::Passage& passage) {
    const auto overlaps = [&](const documents::Passage& other) { return same_place(passage, other); };
    if (std::any_of(chosen[document].begin(), chosen[document].end(), overlaps)) return;
    if (std::any_of(prompt.given[document].begin(), prompt.given[document].end(), overlaps)) return;
    for (const documents::Page& page : input.documents[document]->pages) {
      if (page.number != passage.page) continue;
      std::int64_t tokens =
          engine_.count_tokens(documents::slice(page.text, passage.start, passage.end)) + marker_tokens;
      if (chosen[document].empty()) tokens += header_tokens;
      if (used + tokens > budget) {
        full = true;
        return;
      }
      used += tokens;
      any = true;
      chosen[document].push_back(passage);
    }
  };
  const std::vector<PassageHit> hits = input.search ? input.search(question, hits_asked) : std::vector<PassageHit>();
  for (const PassageHit& hit : hits) {
    if (const auto found = index.find(hit.fingerprint); found != index.end())
      add(found->second, {hit.page, hit.start, hit.end});
    if (full && any) break;
  }
  // What stands beside the best hits, then the documents from their beginning, while there is room.
  std::vector<std::vector<documents::Passage>> all(input.documents.size());
  const auto passages_of = [&](std::size_t document) -> const std::vector<documents::Passage>& {
    if (all[document].empty()) {
      for (const documents::Page& page : input.documents[document]->pages) {
        for (const documents::Passage& passage : documents::split_passages(page)) all[document].push_back(passage);
      }
    }
    return all[document];
  };
  for (std::size_t at = 0; at < hits.size() && at < 5 && !full; ++at) {
    const auto found = index.find(hits[at].fingerprint);
    if (found == index.end()) continue;
    const std::vector<documents::Passage>& passages = passages_of(found->second);
    for (std::size_t place = 0; place < passages.size(); ++place) {
      if (passages[place].page != hits[at].page || passages[place].start != hits[at].start) continue;
      if (place > 0) add(found->second, passages[place - 1]);
      if (place + 1 < passages.size()) add(found->second, passages[place + 1]);
    }
  }
  for (std::size_t document = 0; document < input.documents.size() && !full; ++document) {
    for (const documents::Passage& passage : passages_of(document)) {
      if (full) break;
      add(document, passage);
    }
  }
  return any;
}

Prompt PromptBuilder::build_passages(const PromptInput& input, const std::vector<Turn>& turns,
                                     std::int64_t budget) const {
  for (std::size_t first = 0; first < turns.size(); ++first) {
    const bool last_try = first + 1 == turns.size();
    double share = first_question_share;
    // With nothing else left to give way, the passages of the question itself do.
    for (;;) {
      Prompt prompt;
      prompt.whole_documents = false;
      prompt.given.resize(input.documents.size());
      prompt.turns_left_out = static_cast<int>(first);
      prompt.segments = {system_segment()};
      int message = 1;
      for (std::size_t at = first; at < turns.size(); ++at) {
        Turn turn = turns[at];
        std::vector<std::vector<documents::Passage>> chosen;
        const double part = at == first ? share : follow_up_share;
        choose_passages(input, turn.question->text, static_cast<std::int64_t>(part * static_cast<double>(budget)),
                        prompt, chosen);
        for (std::size_t document = 0; document < chosen.size(); ++document) {
          if (chosen[document].empty()) continue;
          turn.passages.push_back(
              document_segment(passages_id(input.documents[document]->fingerprint, turn.question->id),
                               documents::passages_segment_text(*input.documents[document],
                                                                static_cast<int>(document) + 1, chosen[document]),
                               message));
          prompt.given[document].insert(prompt.given[document].end(), chosen[document].begin(), chosen[document].end());
        }
        add_turn(prompt.segments, turn, message);
      }
      if (fits(prompt.segments, budget)) {
        for (auto& passages : prompt.given) {
          std::sort(passages.begin(), passages.end(),
                    [](const documents::Passage& one, const documents::Passage& other) {
                      return std::tie(one.page, one.start) < std::tie(other.page, other.start);
                    });
        }
        return prompt;
      }
      if (!last_try || share < 0.01) break;
      share *= 0.7;
    }
  }
  throw Error(ErrorKind::bad_request, too_long(engine_.count_prompt(request_of({system_segment()})), model_.window));
}

}  // namespace lectern::app
