// What comes back from the disk gives the bits of reading and writing without a break: across processes that were
// killed (contract C1), at every awkward length (C2), and between sessions whose documents must never meet.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include <filesystem>
#include <fstream>
#include <random>

#include "inference/disk/context_disk.h"
#include "inference/local_engine.h"
#include "inference/model.h"
#include "inference/prefill.h"
#include "tests/inference/kept_bed.h"
#include "tests/inference/model_samples.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"

namespace lectern::inference {
namespace {

using samples::Bed;
using samples::chain_of;

std::string content(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class KeptReading : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, KeptReading, ::testing::Values("llama-gqa", "qwen3next-base", "qwen3next-blocks-q8_0"),
                         [](const auto& model) {
                           std::string name = model.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(KeptReading, GoesOnInAnotherProcessWithTheBitsOfAnUninterruptedRun) {
  const test::TemporaryFolder folder;
  const std::string model = (samples::models / (std::string(GetParam()) + ".gguf")).string();
  const std::string kept = folder.path() + "/context", answer = folder.path() + "/answer";
  const std::string sequel = folder.path() + "/sequel";
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), test::program("kept_reading_program"));
    return test::run_process(arguments);
  };
  ASSERT_EQ(run({"keep", model, kept, answer}).exit_code, 128 + SIGKILL);
  const test::ProcessResult straight = run({"straight", model, answer, folder.path() + "/straight", sequel});
  ASSERT_EQ(straight.exit_code, 0) << straight.errors;
  const std::string wanted = content(folder.path() + "/straight");
  ASSERT_EQ(wanted.size(), 512 * sizeof(std::uint64_t));
  for (const bool drafts : {false, true}) {
    std::vector<std::string> arguments{"resume", model, kept, answer, folder.path() + "/resumed"};
    if (drafts) arguments.push_back(sequel);
    const test::ProcessResult resumed = run(arguments);
    ASSERT_EQ(resumed.exit_code, 0) << resumed.errors;
    EXPECT_NE(resumed.output.find("loaded 854 of 854"), std::string::npos) << resumed.output;
    EXPECT_EQ(resumed.output.find("accepted 0\n") == std::string::npos, drafts) << resumed.output;
    EXPECT_EQ(content(folder.path() + "/resumed"), wanted) << (drafts ? "with drafts" : "without drafts");
  }
}

TEST(KeptReadingDamage, IsReadAgainAndTheAnswerIsTheSame) {
  const Model model(samples::models / "qwen3next-base.gguf");
  const PromptChain chain = chain_of({20, 700, 300, 30});
  Bed cold(model, {});
  Sequence cold_sequence(cold.pool, cold.shape);
  const ReadOutcome expected = cold.read(chain, cold_sequence);
  std::mt19937 random(5);
  for (int round = 0; round < (test::is_sanitized ? 6 : 40); ++round) {
    const test::TemporaryFolder folder;
    {
      Bed bed(model, folder.path());
      Sequence sequence(bed.pool, bed.shape);
      bed.read(chain, sequence);
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(folder.path()) / "extents"))
      files.push_back(entry.path());
    ASSERT_EQ(files.size(), 4U);
    const std::filesystem::path& file = files[random() % files.size()];
    const auto size = static_cast<std::int64_t>(std::filesystem::file_size(file));
    if (round % 4 == 0) {
      std::filesystem::resize_file(file, static_cast<std::uintmax_t>(random() % static_cast<unsigned>(size)));
    } else {
      std::fstream edit(file, std::ios::in | std::ios::out | std::ios::binary);
      const auto at = static_cast<std::streamoff>(random() % static_cast<unsigned>(size));
      edit.seekg(at);
      const char byte = static_cast<char>(edit.get() ^ (1 << (random() % 8)));
      edit.seekp(at);
      edit.put(byte);
    }
    Bed again(model, folder.path());
    Sequence sequence(again.pool, again.shape);
    const ReadOutcome read = again.read(chain, sequence);
    EXPECT_EQ(read.hidden, expected.hidden) << "round " << round;
    EXPECT_EQ(sequence.state, cold_sequence.state) << "round " << round;
  }
}

// Two documents with different secrets, many sessions that ask of one, the other or both, in all orders, with restarts
// and deletions between: every answer is that of an engine that keeps nothing, so no context ever held anything else.
TEST(KeptReadingSecrets, NeverMeet) {
  const test::TemporaryFolder folder;
  LocalEngineOptions options;
  options.file = samples::models / "qwen3next-base.gguf";
  options.threads = 1;
  options.chunk = 128;
  options.cache_budget_bytes = 0;
  const auto plain = open_local_engine(options);
  options.cache_budget_bytes = std::int64_t{1} << 20;  // small: memory gives up often, the disk keeps
  options.kept_folder = folder.path();
  auto keeping = open_local_engine(options);
  const auto document = [](int number) {
    Segment segment;
    segment.kind = Segment::Kind::document;
    segment.id = "document " + std::to_string(number);
    segment.text =
        number == 0 ? "The password of the vault is ALPHA-7712. " : "The password of the vault is OMEGA-0346. ";
    for (int index = 0; index < 60; ++index) segment.text += "Clause " + std::to_string(index) + " stays as it is. ";
    return segment;
  };
  std::mt19937 random(11);
  const auto pick = [&](unsigned most) { return static_cast<int>(random() % most); };
  std::int64_t reused = 0, loaded = 0;
  std::vector<std::vector<Segment>> sessions(6);
  for (int step = 0; step < (test::is_sanitized ? 24 : 80); ++step) {
    std::vector<Segment>& session = sessions[static_cast<std::size_t>(pick(6))];
    if (session.empty() || session.size() > 8 || pick(6) == 0) {
      session.clear();
      const int order = pick(4);  // one, the other, both in either order
      if (order != 1) session.push_back(document(order == 3 ? 1 : 0));
      if (order != 0) session.push_back(document(order == 3 ? 0 : 1));
    }
    const int last = session.back().message;
    Segment question;
    question.message = session.back().role == Role::assistant ? last + 1 : last;
    question.id = "question " + std::to_string(step);
    question.text = "What is the password? " + std::to_string(pick(4));
    session.push_back(question);
    GenerationRequest request;
    request.conversation = std::to_string(&session - sessions.data());
    request.segments = session;
    request.max_tokens = 8;
    const GenerationResult expected = plain->submit(request, nullptr, {}).get();
    const GenerationResult got = keeping->submit(request, nullptr, {}).get();
    ASSERT_EQ(got.token_ids, expected.token_ids) << "step " << step;
    const Usage& usage = got.usage;
    ASSERT_EQ(usage.prompt_tokens, usage.reused_tokens + usage.loaded_tokens + usage.computed_tokens);
    reused += usage.reused_tokens;
    loaded += usage.loaded_tokens;
    Segment answer;
    answer.role = Role::assistant;
    answer.message = question.message + 1;
    answer.id = "answer " + std::to_string(step);
    answer.text = got.text;
    answer.token_ids = got.token_ids;
    session.push_back(answer);
    if (pick(7) == 0) {
      keeping.reset();
      keeping = open_local_engine(options);
    }
    if (pick(15) == 0) keeping->forget_document("document " + std::to_string(pick(2)));
  }
  EXPECT_GT(reused, 0);
  EXPECT_GT(loaded, 0);
}

TEST(KeptReadingReasons, AreSaidAfterARestart) {
  const test::TemporaryFolder folder, models;
  const std::filesystem::path file = std::filesystem::path(models.path()) / "model.gguf";
  std::filesystem::copy_file(samples::models / "qwen3next-base.gguf", file);
  LocalEngineOptions options;
  options.file = file;
  options.threads = 1;
  options.chunk = 128;
  options.kept_folder = folder.path();
  GenerationRequest request;
  request.conversation = "c";
  request.max_tokens = 4;
  Segment document;
  document.kind = Segment::Kind::document;
  document.id = "a contract";
  for (int index = 0; index < 50; ++index) document.text += "Clause " + std::to_string(index) + ". ";
  Segment question;
  question.id = "q";
  question.text = "What?";
  request.segments = {document, question};
  const auto ask = [&](const GenerationRequest& asked) {
    const auto engine = open_local_engine(options);
    const ReadingPlan plan = engine->plan(asked).get();
    const Usage usage = engine->submit(asked, nullptr, {}).get().usage;
    EXPECT_EQ(plan.prompt_tokens, usage.prompt_tokens);
    EXPECT_EQ(plan.on_disk, usage.loaded_tokens);
    EXPECT_EQ(plan.to_read, usage.computed_tokens);
    EXPECT_EQ(plan.miss_reasons, usage.miss_reasons);
    engine->finish_keeping();
    return usage;
  };
  using Reasons = std::vector<MissReason>;
  EXPECT_EQ(ask(request).miss_reasons, Reasons{MissReason::first_read});
  const Usage again = ask(request);
  EXPECT_EQ(again.loaded_tokens, again.prompt_tokens);
  EXPECT_EQ(again.miss_reasons, Reasons{});

  ContextFolder(folder.path(), system_files()).clear_document("a contract");
  EXPECT_EQ(ask(request).miss_reasons, Reasons{MissReason::cleared});

  GenerationRequest changed = request;
  changed.segments[0].text += "One more clause. ";
  EXPECT_EQ(ask(changed).miss_reasons, Reasons{MissReason::document_changed});

  {  // other weights under the same name, of the same size
    std::fstream edit(file, std::ios::in | std::ios::out | std::ios::binary);
    edit.seekp(-2, std::ios::end);
    edit.put(1);
  }
  EXPECT_EQ(ask(request).miss_reasons, Reasons{MissReason::model_changed});
  EXPECT_EQ(ask(request).miss_reasons, Reasons{});
  const std::filesystem::path good = options.kept_folder;
  options.kept_folder = file / "no folder";
  EXPECT_EQ(ask(request).miss_reasons, Reasons{MissReason::cache_off}) << "where nothing can be looked up";
  EXPECT_NE(open_local_engine(options)->finish_keeping(), "");
  options.kept_folder = good;
  options.cache_budget_bytes = 0;
  EXPECT_EQ(ask(request).miss_reasons, Reasons{MissReason::cache_off});
}

}  // namespace
}  // namespace lectern::inference
