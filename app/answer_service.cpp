// The calling thread does the work around the engine and, while the engine answers, wakes a few times a second to save
// what has arrived: so a killed process loses at most the last second, and the engine's thread never waits for the
// disk.
#include "app/answer_service.h"

#include <algorithm>
#include <chrono>
#include <mutex>

#include "app/citations.h"
#include "app/coverage.h"
#include "app/evidence.h"
#include "app/library.h"
#include "app/prompt_builder.h"
#include "app/question_passages.h"
#include "app/session_store.h"
#include "documents/quote_match.h"
#include "documents/utf8.h"
#include "kernels/error.h"

namespace lectern::app {

using inference::Role;

namespace {

constexpr auto save_interval = std::chrono::milliseconds(500);
constexpr std::int64_t searched_whole_bytes = 2'000'000;  // above this the full-text index chooses what is ranked
constexpr int ranked_hits = 60;

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::vector<Message> chain_to(const SessionStore& store, std::int64_t last) {
  std::vector<Message> chain;
  for (std::int64_t id = last; id > 0;) {
    std::optional<Message> message = store.message(id);
    if (!message) break;
    id = message->parent;
    chain.push_back(std::move(*message));
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

/// Collects the streamed text; the waiting thread takes copies of it.
class Stream : public inference::RequestObserver {
 public:
  explicit Stream(const AskObserver& observer) : observer_(observer) {}

  void on_reading(std::int64_t read, std::int64_t total, double seconds_left) override {
    if (observer_.reading) observer_.reading(read, total, seconds_left);
  }
  void on_text(std::string_view text) override {
    {
      const std::scoped_lock lock(mutex_);
      text_ += text;
    }
    if (observer_.text) observer_.text(text);
  }
  std::string text() const {
    const std::scoped_lock lock(mutex_);
    return text_;
  }

 private:
  const AskObserver observer_;  // a copy: the request may outlive the caller's
  mutable std::mutex mutex_;
  std::string text_;
};

}  // namespace

struct AnswerService::LoadedDocument {
  explicit LoadedDocument(documents::Document read) : document(std::move(read)), quotes(document) {}
  documents::Document document;
  documents::QuoteIndex quotes;
};

AnswerService::AnswerService(inference::Engine& engine, DatabaseWriter& writer) : engine_(engine), writer_(writer) {}
AnswerService::~AnswerService() = default;

AnswerService::Loaded AnswerService::load(std::int64_t session) {
  const std::vector<std::string> fingerprints =
      writer_.call([session](Database& database) { return SessionStore(database).documents(session); });
  std::map<std::string, std::shared_ptr<const LoadedDocument>> kept;
  Loaded documents;
  for (const std::string& fingerprint : fingerprints) {
    auto& document = kept[fingerprint];
    if (document) continue;  // listed twice
    if (const auto found = loaded_.find(fingerprint); found != loaded_.end()) {
      document = found->second;
    } else {
      std::optional<documents::Document> read =
          writer_.call([fingerprint](Database& database) { return Library(database).load(fingerprint); });
      if (!read) {
        throw Error(ErrorKind::bad_request, "session " + std::to_string(session) + ": a document (" + fingerprint +
                                                ") is no longer in the library; add the file again");
      }
      document = std::make_shared<const LoadedDocument>(std::move(*read));
    }
    documents.push_back(document);
  }
  loaded_ = std::move(kept);
  return documents;
}

std::int64_t AnswerService::tokens_of(const LoadedDocument& document) {
  const inference::ModelDescription model = engine_.describe();
  const std::string& fingerprint = document.document.fingerprint;
  const auto known =
      writer_.call([&](Database& database) { return Library(database).tokens(fingerprint, model.file); });
  if (known) return *known;
  const std::int64_t tokens =
      document_tokens(document.document, [this](std::string_view text) { return engine_.count_tokens(text); });
  writer_.call([&](Database& database) { Library(database).set_tokens(fingerprint, model.file, tokens); });
  return tokens;
}

Message AnswerService::ask(std::int64_t session, const std::string& question, std::int64_t parent,
                           const AskOptions& options, const AskObserver& observer, std::stop_token stop) {
  Message asked;
  asked.session = session;
  asked.role = Role::user;
  asked.text = question;
  asked.created_ms = now_ms();
  std::vector<Message> history = writer_.call([&](Database& database) {
    SessionStore store(database);
    std::vector<Message> before;
    if (parent > 0) {
      before = chain_to(store, parent);
      if (before.empty() || before.back().session != session) {
        throw Error(ErrorKind::bad_request, "message " + std::to_string(parent) + ": it is not part of this session");
      }
    } else if (parent == 0) {
      before = store.branch(session);
    }
    asked.parent = before.empty() ? 0 : before.back().id;
    asked.id = store.add_message(asked);
    return before;
  });
  return answer(session, asked, std::move(history), options, observer, stop);
}

Message AnswerService::regenerate(std::int64_t session, std::int64_t answer_id, const AskOptions& options,
                                  const AskObserver& observer, std::stop_token stop) {
  std::vector<Message> history = writer_.call([&](Database& database) {
    const SessionStore store(database);
    const std::optional<Message> old = store.message(answer_id);
    if (!old || old->session != session || old->role != Role::assistant || old->parent == 0) {
      throw Error(ErrorKind::bad_request, "message " + std::to_string(answer_id) + ": it is no answer of this session");
    }
    return chain_to(store, old->parent);
  });
  const Message question = std::move(history.back());
  history.pop_back();
  return answer(session, question, std::move(history), options, observer, stop);
}

Message AnswerService::answer(std::int64_t session, const Message& question, std::vector<Message> history,
                              const AskOptions& options, const AskObserver& observer, std::stop_token stop) {
  Message answer;
  answer.session = session;
  answer.parent = question.id;
  answer.role = Role::assistant;
  answer.state = MessageState::partial;
  answer.created_ms = now_ms();
  answer.id = writer_.call([&](Database& database) { return SessionStore(database).add_message(answer); });
  if (observer.started) observer.started(question.id, answer.id);
  try {
    generate_and_prove(answer, question, std::move(history), options, observer, stop);
  } catch (const std::exception& error) {
    answer.state = MessageState::failed;
    answer.problem = error.what();
    // The first error is the one to report, even if the database is what failed.
    try {
      writer_.call([&](Database& database) { SessionStore(database).finish_message(answer); });
    } catch (const std::exception&) {
    }
    throw;
  }
  writer_.call([&](Database& database) { SessionStore(database).finish_message(answer); });
  return answer;
}

void AnswerService::generate_and_prove(Message& answer, const Message& question, std::vector<Message> history,
                                       const AskOptions& options, const AskObserver& observer, std::stop_token stop) {
  const Loaded loaded = load(answer.session);
  std::vector<std::string> fingerprints;
  PromptInput input;
  input.history = std::move(history);
  input.question = question;
  input.max_tokens = options.max_tokens;
  for (const auto& document : loaded) {
    input.documents.push_back(&document->document);
    fingerprints.push_back(document->document.fingerprint);
  }
  const auto search = [&](const std::string& text, int limit) {
    return writer_.call([&](Database& database) { return Library(database).search(fingerprints, text, limit); });
  };
  input.search = search;
  const Prompt prompt = PromptBuilder(engine_).build(input);

  inference::GenerationRequest request;
  request.conversation = "session-" + std::to_string(answer.session);
  request.segments = prompt.segments;
  request.sampling = options.sampling;
  request.stop_repetition = true;
  request.max_tokens = options.max_tokens;
  const auto stream = std::make_shared<Stream>(observer);
  std::future<inference::GenerationResult> future = engine_.submit(std::move(request), stream, stop);
  std::size_t saved = 0;
  while (future.wait_for(save_interval) != std::future_status::ready) {
    std::string text = stream->text();
    if (text.size() == saved) continue;
    saved = text.size();
    writer_.post([id = answer.id, text = std::move(text)](Database& database) {
      SessionStore(database).save_partial(id, text);
    });
  }
  answer.text = stream->text();  // what a failure in the middle leaves
  inference::GenerationResult result = future.get();
  answer.text = std::move(result.text);
  answer.token_ids = std::move(result.token_ids);
  answer.state =
      result.finish_reason == inference::FinishReason::cancelled ? MessageState::stopped : MessageState::complete;

  AnswerReport report;
  report.finish_reason = result.finish_reason;
  report.usage = result.usage;
  report.timing = result.timing;
  report.ingest_s = options.ingest_s;
  report.model = engine_.describe();
  report.turns_left_out = prompt.turns_left_out;

  std::vector<GivenDocument> given;
  std::vector<SourceDocument> sources;
  std::vector<EvidencePassage> in_prompt, in_documents;
  std::int64_t bytes = 0;
  for (const auto& document : loaded) {
    for (const documents::Page& page : document->document.pages) bytes += static_cast<std::int64_t>(page.text.size());
  }
  const bool rank_all = bytes <= searched_whole_bytes;
  for (std::size_t at = 0; at < loaded.size(); ++at) {
    const documents::Document& document = loaded[at]->document;
    given.push_back({&document, prompt.whole_documents, prompt.given[at], tokens_of(*loaded[at])});
    sources.push_back({&document, &loaded[at]->quotes});
    for (const documents::Page& page : document.pages) {
      const EvidencePassage whole{static_cast<int>(at), page.number, 0, page.text};
      if (rank_all) in_documents.push_back(whole);
      if (prompt.whole_documents) in_prompt.push_back(whole);
      for (const documents::Passage& passage : prompt.given[at]) {
        if (passage.page != page.number) continue;
        in_prompt.push_back({static_cast<int>(at), page.number, passage.start,
                             std::string(documents::slice(page.text, passage.start, passage.end))});
      }
    }
  }
  if (!rank_all) {
    for (const PassageHit& hit : search(question.text, ranked_hits)) {
      const auto found = std::find(fingerprints.begin(), fingerprints.end(), hit.fingerprint);
      if (found == fingerprints.end()) continue;
      in_documents.push_back({static_cast<int>(found - fingerprints.begin()), hit.page, hit.start, hit.text});
    }
  }
  report.coverage = measure_coverage(given, [this](std::string_view text) { return engine_.count_tokens(text); });
  const Evidence evidence_given(std::move(in_prompt));
  const Evidence evidence_all(std::move(in_documents));
  Proof proof = prove_answer(answer.text, question.text, sources, evidence_given,
                             best_places(evidence_all, question.text, passages_under_answer));
  answer.citations = std::move(proof.citations);
  report.unsupported = std::move(proof.unsupported);
  answer.report = std::move(report);
}

AnswerReport AnswerService::read(std::int64_t session, const AskObserver& observer, std::stop_token stop) {
  const Loaded loaded = load(session);
  std::vector<const documents::Document*> documents;
  for (const auto& document : loaded) documents.push_back(&document->document);
  AnswerReport report;
  report.model = engine_.describe();
  inference::GenerationRequest request;
  request.conversation = "session-" + std::to_string(session);
  request.segments = PromptBuilder(engine_).documents_only(documents);
  request.max_tokens = 0;
  const bool whole = !request.segments.empty();
  if (whole && !documents.empty()) {
    inference::GenerationResult result =
        engine_.submit(std::move(request), std::make_shared<Stream>(observer), stop).get();
    report.finish_reason = result.finish_reason;
    report.usage = result.usage;
    report.timing = result.timing;
  }
  std::vector<GivenDocument> given;
  for (const auto& document : loaded) given.push_back({&document->document, whole, {}, tokens_of(*document)});
  report.coverage = measure_coverage(given, [this](std::string_view text) { return engine_.count_tokens(text); });
  return report;
}

}  // namespace lectern::app
