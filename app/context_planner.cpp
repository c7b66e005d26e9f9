// The engine is asked about the very request that would come, so that the window and the answer's report cannot
// disagree. Where a part of the prompt begins and ends is known but for the few tokens of the chat template, which the
// engine alone places: they are counted with the instructions, and what is left of a part within them counts as kept.
#include "app/context_planner.h"

#include <algorithm>

#include "app/answer_service.h"
#include "app/coverage.h"
#include "app/library.h"
#include "app/prompt_builder.h"
#include "app/session_store.h"
#include "kernels/error.h"

namespace lectern::app {

namespace {

constexpr std::int64_t template_tokens = 32;  // of a chat template, at most, around and between the parts
constexpr std::int64_t least_measured = 128;  // tokens of a reading that tells its speed
constexpr int reports_looked_at = 40;

inference::GenerationRequest request_of(std::int64_t session, std::vector<inference::Segment> segments) {
  inference::GenerationRequest request;
  request.conversation = conversation_of(session);
  request.segments = std::move(segments);
  request.max_tokens = 0;
  return request;
}

}  // namespace

std::vector<const documents::Document*> ContextPlanner::Documents::pointers() const {
  std::vector<const documents::Document*> result;
  for (const auto& document : list) result.push_back(document.get());
  return result;
}

ContextPlanner::Documents ContextPlanner::load(Database& database, const std::vector<std::string>& fingerprints) {
  std::map<std::string, std::shared_ptr<const documents::Document>> kept;
  Documents documents;
  for (const std::string& fingerprint : fingerprints) {
    if (kept.contains(fingerprint)) continue;  // listed twice
    std::shared_ptr<const documents::Document> document;
    if (const auto found = loaded_.find(fingerprint); found != loaded_.end()) {
      document = found->second;
    } else if (std::optional<documents::Document> read = Library(database).load(fingerprint)) {
      for (documents::Page& page : read->pages) page.words = {};
      document = std::make_shared<const documents::Document>(std::move(*read));
    }
    if (!document) continue;
    kept[fingerprint] = document;
    documents.list.push_back(std::move(document));
  }
  loaded_ = std::move(kept);
  return documents;
}

std::int64_t ContextPlanner::document_tokens_of(Database& database, inference::Engine& engine,
                                                const documents::Document& document) {
  const std::string model = engine.describe().file;
  if (const auto known = Library(database).tokens(document.fingerprint, model)) return *known;
  const std::int64_t tokens =
      document_tokens(document, [&](std::string_view text) { return engine.count_tokens(text); });
  writer_.call([&](Database& writing) { Library(writing).set_tokens(document.fingerprint, model, tokens); });
  return tokens;
}

std::int64_t ContextPlanner::segment_tokens(inference::Engine& engine, const inference::Segment& segment) {
  if (const std::string model = engine.describe().file; counted_model_ != model) {
    counted_.clear();
    counted_model_ = model;
  }
  // Its text depends on the document and its number alone, and numbers of one length change no more than digits.
  const auto [place, is_new] = counted_.try_emplace({segment.id, segment.text.size()}, 0);
  if (is_new) place->second = engine.count_tokens(segment.text);
  return place->second;
}

std::vector<ContextPlanner::Kept> ContextPlanner::kept_of(inference::Engine& engine,
                                                          const std::vector<inference::Segment>& segments,
                                                          std::int64_t documents_end, std::int64_t kept) {
  std::vector<Kept> documents;
  std::int64_t sum = 0;
  for (const inference::Segment& segment : segments) {
    if (segment.kind != inference::Segment::Kind::document) continue;
    documents.push_back({segment_tokens(engine, segment), 0});
    sum += documents.back().tokens;
  }
  std::int64_t start = documents_end - sum;
  for (Kept& document : documents) {
    document.kept = std::clamp<std::int64_t>(kept - start, 0, document.tokens);
    if (document.tokens - document.kept <= template_tokens && document.kept > 0) document.kept = document.tokens;
    start += document.tokens;
  }
  return documents;
}

double ContextPlanner::speed(Database& database, const std::string& model_file) {
  for (const AnswerReport& report : SessionStore(database).newest_reports(reports_looked_at)) {
    if (report.model.file != model_file || report.usage.computed_tokens < least_measured) continue;
    if (report.timing.prefill_s > 0) return static_cast<double>(report.usage.computed_tokens) / report.timing.prefill_s;
  }
  return 0;
}

ContextUse ContextPlanner::measure(inference::Engine* engine, std::int64_t session,
                                   const std::vector<std::string>& fingerprints, std::int64_t room) {
  Database database(writer_.path(), Database::Mode::read_only);
  const Documents documents = load(database, fingerprints);
  ContextUse use;
  const auto add = [&](const QString& name, std::int64_t tokens, std::int64_t kept, const std::string& fingerprint) {
    use.parts.push_back({name, tokens, kept, QString::fromStdString(fingerprint)});
  };
  const QString instructions = QStringLiteral("instructions"), conversation = QStringLiteral("conversation");
  if (!engine) {
    add(instructions, 0, 0, {});
    for (const auto& document : documents.list)
      add(QString::fromStdString(document->name), 0, 0, document->fingerprint);
    return use;
  }
  const inference::ModelDescription model = engine->describe();
  use.window = model.window;
  std::vector<std::int64_t> pages_tokens;  // what the rows of the library show
  for (const auto& document : documents.list) pages_tokens.push_back(document_tokens_of(database, *engine, *document));

  const PromptBuilder builder(*engine);
  PromptInput input;
  input.documents = documents.pointers();
  input.max_tokens = room;
  if (session != 0) input.history = SessionStore(database).branch(session);
  const std::vector<inference::Segment> alone = builder.documents_only(input.documents);
  const std::vector<inference::Segment> next =
      alone.empty() ? std::vector<inference::Segment>() : builder.before_question(input);
  if (next.empty()) {
    use.fits = false;
    add(instructions, 0, 0, {});
    for (std::size_t at = 0; at < documents.list.size(); ++at)
      add(QString::fromStdString(documents.list[at]->name), pages_tokens[at], 0, documents.list[at]->fingerprint);
    return use;
  }

  const inference::ReadingPlan before = engine->plan(request_of(session, alone)).get();
  if (before.prompt_tokens == 0) throw Error(ErrorKind::bad_request, "engine: it was closed");
  const bool continues = next.size() > alone.size() + 1;  // there are turns between the documents and the question
  const inference::ReadingPlan plan = continues ? engine->plan(request_of(session, next)).get() : before;
  const std::int64_t kept = plan.in_memory + plan.on_disk;
  const double rate = before.seconds < 0 || plan.seconds < 0 ? speed(database, model.file) : 0;
  const auto seconds_of = [&](const inference::ReadingPlan& of, std::int64_t to_read) {
    if (to_read == 0) return 0.0;
    if (of.seconds >= 0) return of.seconds;
    return rate > 0 ? static_cast<double>(to_read) / rate : -1.0;
  };
  use.in_memory = plan.in_memory;
  use.on_disk = plan.on_disk;
  use.to_read = plan.to_read <= template_tokens ? 0 : plan.to_read;
  use.seconds_to_read = seconds_of(plan, use.to_read);
  if (use.to_read > 0) use.miss_reasons = plan.miss_reasons;
  use.documents_to_read = before.to_read <= template_tokens ? 0 : before.to_read;
  use.documents_seconds = seconds_of(before, use.documents_to_read);

  const std::vector<Kept> parts =
      kept_of(*engine, alone, before.prompt_tokens, std::max(kept, before.in_memory + before.on_disk));
  std::int64_t rest = before.prompt_tokens;
  for (const Kept& part : parts) rest -= part.tokens;
  add(instructions, rest, kept >= rest - template_tokens ? rest : 0, {});
  for (std::size_t at = 0; at < documents.list.size() && at < parts.size(); ++at) {
    add(QString::fromStdString(documents.list[at]->name), parts[at].tokens, parts[at].kept,
        documents.list[at]->fingerprint);
  }
  if (continues) {
    const std::int64_t tokens = std::max<std::int64_t>(0, plan.prompt_tokens - before.prompt_tokens);
    add(conversation, tokens, use.to_read == 0 ? tokens : std::clamp<std::int64_t>(tokens - use.to_read, 0, tokens),
        {});
  }
  return use;
}

DocumentsPrice ContextPlanner::price(inference::Engine* engine, std::int64_t session,
                                     const std::vector<std::string>& from, const std::vector<std::string>& to) {
  DocumentsPrice price;
  price.seconds = 0;
  if (!engine) return price;
  Database database(writer_.path(), Database::Mode::read_only);
  const PromptBuilder builder(*engine);
  struct Side {
    std::map<std::string, Kept> documents;
    inference::ReadingPlan plan;
  };
  const auto look_at = [&](const std::vector<std::string>& fingerprints) {
    Side side;
    const Documents documents = load(database, fingerprints);
    const std::vector<inference::Segment> segments = builder.documents_only(documents.pointers());
    if (segments.empty() || documents.list.empty()) return side;
    side.plan = engine->plan(request_of(session, segments)).get();
    const std::vector<Kept> kept =
        kept_of(*engine, segments, side.plan.prompt_tokens, side.plan.in_memory + side.plan.on_disk);
    for (std::size_t at = 0; at < kept.size(); ++at) side.documents[documents.list[at]->fingerprint] = kept[at];
    return side;
  };
  const Side now = look_at(from), then = look_at(to);
  for (const auto& [fingerprint, kept] : then.documents) {
    const auto before = now.documents.find(fingerprint);
    if (before != now.documents.end()) price.read_again += std::max<std::int64_t>(0, before->second.kept - kept.kept);
  }
  if (price.read_again == 0) return price;
  price.seconds = -1;
  if (then.plan.seconds >= 0 && then.plan.to_read > 0)
    price.seconds = then.plan.seconds * static_cast<double>(price.read_again) / static_cast<double>(then.plan.to_read);
  else if (const double rate = speed(database, engine->describe().file); rate > 0)
    price.seconds = static_cast<double>(price.read_again) / rate;
  return price;
}

}  // namespace lectern::app
