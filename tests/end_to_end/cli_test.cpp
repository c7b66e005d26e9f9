// lectern-cli as a process, in folders of its own.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "tests/support/process.h"

namespace lectern::test {
namespace {

using Json = nlohmann::json;

const char* const agreement =
    "SERVICES AGREEMENT\n\n1. Payment\n\nThe Client shall pay each invoice within thirty-five (35) days after it has "
    "received it.\n\n"
    "2. Governing law\n\nThis Agreement is governed by the laws of the Republic of Austria.\n";

class CliTest : public ::testing::Test {
 protected:
  ProcessResult run(std::vector<std::string> arguments, const std::string& input = {}) {
    arguments.insert(arguments.begin(), program("lectern-cli"));
    return run_process(arguments, folder_.environment(), input);
  }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  /// One line on stderr that begins as the contract says.
  static void expect_error_line(const ProcessResult& result, int exit_code, const std::string& subject) {
    EXPECT_EQ(result.exit_code, exit_code) << result.errors;
    const std::string line = "lectern-cli: " + subject;
    EXPECT_NE(("\n" + result.errors).find("\n" + line), std::string::npos)
        << "expected \"" << line << "...\" in: " << result.errors;
  }
  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  TemporaryFolder folder_;
};

class CliModelTest : public CliTest {
 protected:
  void SetUp() override {
    model_ = default_model();
    if (model_.empty()) GTEST_SKIP() << "the default model is not installed: run installer/test with a network";
  }
  std::string model_;
};

TEST_F(CliTest, HelpsWithEveryCommand) {
  const ProcessResult all = run({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  for (const char* command : {"ask", "read", "sessions", "extract", "tokenize", "logits", "generate", "perplexity",
                              "model", "bench", "cache"}) {
    EXPECT_NE(all.output.find(command), std::string::npos) << command;
    const ProcessResult one = run({command, "--help"});
    EXPECT_EQ(one.exit_code, 0) << command;
    EXPECT_NE(one.output.find(command), std::string::npos) << command;
  }
}

TEST_F(CliTest, CallsAWrongCallWrong) {
  expect_error_line(run({}), 2, "command: ");
  expect_error_line(run({"frobnicate"}), 2, "frobnicate: ");
  expect_error_line(run({"ask"}), 2, "question: ");
  expect_error_line(run({"ask", "--nonsense", "x"}), 2, "--nonsense: ");
  expect_error_line(run({"ask", "--max-tokens", "many", "x"}), 2, "--max-tokens: ");
  expect_error_line(run({"ask", "--temperature", "nan", "x"}), 2, "--temperature: ");
  expect_error_line(run({"ask", "--model"}), 2, "--model: ");
  expect_error_line(run({"ask", "--follow-up", "x"}), 2, "--follow-up: ");
  expect_error_line(run({"sessions"}), 2, "sessions: ");
  expect_error_line(run({"sessions", "show"}), 2, "sessions show: ");
  expect_error_line(run({"sessions", "export", "1", "--format", "docx"}), 2, "--format: ");
  expect_error_line(run({"cache", "burn"}), 2, "cache: ");
  expect_error_line(run({"read"}), 2, "PATH: ");
  expect_error_line(run({"ask", "What is it?"}), 2, "PATH: ");
}

TEST_F(CliTest, NamesAFileThatCannotBeReadAndReadsTheOthers) {
  const std::string good = write("agreement.txt", agreement);
  const std::string bad = write("broken.pdf", "%PDF-1.7\nthis is no PDF");
  const std::string missing = folder_.path() + "/missing.pdf";
  const ProcessResult mixed = run({"read", "--session", "mixed", bad, good, missing});
  EXPECT_EQ(mixed.exit_code, 0) << mixed.errors;
  EXPECT_TRUE(mixed.errors.starts_with("session ")) << mixed.errors;
  EXPECT_NE(mixed.errors.find("broken.pdf"), std::string::npos);
  EXPECT_NE(mixed.errors.find("missing.pdf"), std::string::npos);
  EXPECT_NE(mixed.output.find("agreement.txt"), std::string::npos);
  const ProcessResult none = run({"read", bad, missing});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_TRUE(none.errors.starts_with("session ")) << none.errors;
  EXPECT_EQ(run({"extract", bad}).exit_code, 1);
  EXPECT_EQ(run({"extract", missing}).exit_code, 1);
  EXPECT_EQ(run({"extract", folder_.path()}).exit_code, 1);
}

TEST_F(CliTest, SaysWhatIsWrongWithAModel) {
  const std::string document = write("agreement.txt", agreement);
  expect_error_line(run({"ask", document, "What?"}), 1, "");  // none is installed in these folders
  EXPECT_EQ(run({"ask", "--model", folder_.path() + "/missing.gguf", document, "What?"}).exit_code, 1);
  const ProcessResult broken = run({"ask", "--model", write("broken.gguf", "GGUF no"), document, "What?"});
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_NE(broken.errors.find("broken.gguf"), std::string::npos) << broken.errors;
  EXPECT_EQ(run({"model", "inspect", folder_.path() + "/broken.gguf"}).exit_code, 1);
}

TEST_F(CliTest, ExtractsTextWithItsPlaces) {
  const ProcessResult result = run({"extract", "--json", write("agreement.txt", agreement)});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const Json json = Json::parse(result.output);
  EXPECT_EQ(json.at("pages").size(), 1U);
  EXPECT_NE(json.at("pages")[0].at("text").get<std::string>().find("Austria"), std::string::npos);
  const ProcessResult plain = run({"extract", folder_.path() + "/agreement.txt"});
  EXPECT_NE(plain.output.find("Austria"), std::string::npos);
}

TEST_F(CliTest, ListsSessionsAndModelsOfAnEmptyHome) {
  EXPECT_EQ(run({"sessions", "list"}).output, "");
  EXPECT_EQ(run({"sessions", "list", "--json"}).output, "[]\n");
  expect_error_line(run({"sessions", "show", "7"}), 1, "7: ");
  expect_error_line(run({"sessions", "delete", "none"}), 1, "none: ");
  const ProcessResult models = run({"model", "list"});
  EXPECT_EQ(models.exit_code, 0);
  EXPECT_NE(models.output.find("none"), std::string::npos) << models.output;
  const ProcessResult stats = run({"cache", "stats"});
  EXPECT_EQ(stats.exit_code, 0);
  EXPECT_NE(stats.output.find("0 files"), std::string::npos);
  EXPECT_EQ(run({"cache", "clear"}).exit_code, 0);
}

TEST_F(CliTest, FailsInOneLineInAReadOnlyHome) {
  auto environment = folder_.environment();
  for (auto& [name, value] : environment) value = "/proc/lectern";
  const ProcessResult result = run_process({program("lectern-cli"), "sessions", "list"}, environment);
  expect_error_line(result, 1, "");
  EXPECT_EQ(std::count(result.errors.begin(), result.errors.end(), '\n'), 1) << result.errors;
}

TEST_F(CliTest, FailsWhenTheOutputCannotBeWritten) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  const ProcessResult result =
      run_process({"/bin/sh", "-c", program("lectern-cli") + " --help > /dev/full"}, folder_.environment());
  expect_error_line(result, 1, "standard output: ");
}

TEST_F(CliModelTest, AnswersWithTheObjectOfTheContract) {
  const std::string document = write("agreement.txt", agreement);
  const ProcessResult result = run({"ask", "--json", "--model", model_, "--session", "law", "--max-tokens", "24",
                                    document, "Which law governs this agreement?"});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_TRUE(first_line(result.errors).starts_with("session ")) << result.errors;
  const Json json = Json::parse(result.output);
  std::set<std::string> keys;
  for (const auto& item : json.items()) keys.insert(item.key());
  EXPECT_EQ(keys, (std::set<std::string>{"session", "answer", "finish_reason", "unsupported", "citations", "coverage",
                                         "usage", "timing", "model"}));
  const Json& usage = json.at("usage");
  EXPECT_EQ(usage.at("prompt_tokens").get<int>(), usage.at("reused_tokens").get<int>() +
                                                      usage.at("loaded_tokens").get<int>() +
                                                      usage.at("computed_tokens").get<int>());
  EXPECT_GT(usage.at("generated_tokens").get<int>(), 0);
  EXPECT_LE(usage.at("generated_tokens").get<int>(), 24);
  const Json& coverage = json.at("coverage");
  EXPECT_EQ(coverage.at("pages"), 1);
  EXPECT_EQ(coverage.at("pages_given"), 1);
  EXPECT_EQ(coverage.at("tokens"), coverage.at("given_tokens"));
  EXPECT_GT(json.at("timing").at("decode_tokens_per_s").get<double>(), 0);
  EXPECT_EQ(json.at("model").at("architecture"), "llama");
  bool proven = false;
  for (const Json& citation : json.at("citations")) {
    proven = proven || (citation.at("status") == "verified" &&
                        citation.at("quote").get<std::string>().find("Austria") != std::string::npos &&
                        citation.at("lines").is_array());
  }
  EXPECT_TRUE(proven) << result.output;

  // The session is there, its documents are used without naming them, and nothing is read twice.
  const std::string id = first_line(result.errors).substr(8);
  const ProcessResult again =
      run({"ask", "--json", "--model", model_, "--session", "law", "--max-tokens", "8", "And when is an invoice due?"});
  ASSERT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_EQ(first_line(again.errors), "session " + id);
  EXPECT_EQ(Json::parse(again.output).at("session").dump(), id);
  const Json messages = Json::parse(run({"sessions", "show", "law", "--json"}).output);
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[0].at("role"), "user");
  EXPECT_EQ(messages[1].at("state"), "complete");
  EXPECT_EQ(messages[1].at("text"), json.at("answer"));
  EXPECT_EQ(messages[2].at("parent"), messages[1].at("id"));
  EXPECT_FALSE(messages[1].at("citations").empty());
  EXPECT_NE(run({"sessions", "search", "governs"}).output.find("law"), std::string::npos);
  EXPECT_NE(run({"sessions", "export", "law", "--format", "html"}).output.find("Austria"), std::string::npos);
  EXPECT_EQ(run({"sessions", "delete", id}).exit_code, 0);
  EXPECT_EQ(run({"sessions", "list"}).output, "");
}

TEST_F(CliModelTest, PrintsSourcesAndCoverageForPeople) {
  const ProcessResult result =
      run({"ask", "--model", model_, "--max-tokens", "16", write("agreement.txt", agreement), "-"},
          "Which law governs this agreement?\n");
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_NE(result.output.find("✓ agreement.txt, line"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("Read 1 of 1 page"), std::string::npos) << result.output;
}

TEST_F(CliModelTest, ReadsOnlyWhatIsNewInAFollowUp) {
  const std::string document = write("agreement.txt", agreement);
  const std::string questions =
      write("questions.txt", "Which law governs this agreement?\n\nWhen is an invoice due?\nWho pays it?\n");
  const ProcessResult result = run(
      {"ask", "--json", "--model", model_, "--max-tokens", "12", "--questions", questions, "--follow-up", document});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  std::istringstream lines(result.output);
  std::int64_t before = 0;
  int answers = 0;
  for (std::string line; std::getline(lines, line); ++answers) {
    const Json usage = Json::parse(line).at("usage");
    if (answers > 0) {
      // All that came before, and the answer; the last token of an answer may have to be read with what follows.
      EXPECT_GE(usage.at("reused_tokens").get<std::int64_t>() + 1, before);
      EXPECT_LT(usage.at("computed_tokens").get<std::int64_t>(), 60);
    }
    before = usage.at("prompt_tokens").get<std::int64_t>() + usage.at("generated_tokens").get<std::int64_t>();
  }
  EXPECT_EQ(answers, 3);
  const ProcessResult separate =
      run({"ask", "--json", "--model", model_, "--max-tokens", "4", "--questions", "-", document},
          "Which law governs this agreement?\nWhen is an invoice due?\n");
  EXPECT_EQ(std::count(separate.output.begin(), separate.output.end(), '\n'), 2);
}

/// A random model that is there without a download: its answers say nothing, but they are the same every time.
std::string tiny_model() {
  return std::string(LECTERN_SOURCE_DIR) + "/tests/data/models/qwen3next-base.gguf";
}

TEST_F(CliTest, AnswersTheQuestionsOfAFileTogetherAndInOrder) {
  const std::string document = write("agreement.txt", agreement);
  std::vector<std::string> lines;
  std::string text;
  for (int index = 0; index < 20; ++index) {
    lines.push_back("What about " + std::to_string(index * 37 % 101) +
                    (index % 2 == 0 ? "?" : " and who pays it then?"));
    text += lines.back() + "\n";
  }
  const std::string questions = write("questions.txt", text);
  const ProcessResult together = run({"ask", "--json", "--model", tiny_model(), "--session", "together", "--max-tokens",
                                      "12", "--questions", questions, document});
  ASSERT_EQ(together.exit_code, 0) << together.errors;
  std::istringstream out(together.output);
  std::size_t answers = 0;
  std::vector<std::string> texts;
  for (std::string line; std::getline(out, line); ++answers) {
    const Json json = Json::parse(line);
    texts.push_back(json.at("answer"));
    const Json& usage = json.at("usage");
    const auto count = [&](const char* key) { return usage.at(key).get<std::int64_t>(); };
    EXPECT_EQ(count("prompt_tokens"), count("reused_tokens") + count("loaded_tokens") + count("computed_tokens"));
    EXPECT_EQ(count("reused_tokens") == 0, answers == 0) << "the first one carries the reading";
  }
  EXPECT_EQ(answers, lines.size());
  const Json messages = Json::parse(run({"sessions", "show", "together", "--json"}).output);
  ASSERT_EQ(messages.size(), 2 * lines.size());
  for (std::size_t at = 0; at < lines.size(); ++at) {
    EXPECT_EQ(messages[2 * at].at("text"), lines[at]);
    EXPECT_EQ(messages[2 * at].at("parent"), messages[0].at("parent")) << "they are branches beside each other";
    EXPECT_EQ(messages[2 * at + 1].at("text"), texts.at(at));
  }
  for (const std::size_t at : {std::size_t{0}, std::size_t{7}, lines.size() - 1}) {
    const ProcessResult alone =
        run({"ask", "--json", "--model", tiny_model(), "--max-tokens", "12", document, lines[at]});
    ASSERT_EQ(alone.exit_code, 0) << alone.errors;
    EXPECT_EQ(Json::parse(alone.output).at("answer"), texts.at(at)) << lines[at];
  }
  const ProcessResult plain =
      run({"ask", "--model", tiny_model(), "--max-tokens", "12", "--questions", questions, document});
  ASSERT_EQ(plain.exit_code, 0) << plain.errors;
  std::size_t place = 0;
  for (const std::string& line : lines) {
    place = plain.output.find("> " + line + "\n", place);
    ASSERT_NE(place, std::string::npos) << line;
  }
}

TEST_F(CliTest, KeepsReadingsOnTheDiskForTheNextProcess) {
  std::string text = agreement;
  for (int index = 0; index < 40; ++index) text += "Clause " + std::to_string(index) + " stays as it is.\n";
  const std::string document = write("agreement.txt", text);
  const auto usage = [&](const std::string& question) {
    const ProcessResult result =
        run({"ask", "--json", "--model", tiny_model(), "--max-tokens", "4", document, question});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return Json::parse(result.output).at("usage");
  };
  const ProcessResult read = run({"read", "--model", tiny_model(), document});
  ASSERT_EQ(read.exit_code, 0) << read.errors;
  EXPECT_NE(read.output.find("tokens are kept"), std::string::npos) << read.output;
  const Json first = usage("When is an invoice due?");
  EXPECT_EQ(first.at("miss_reasons"), Json::array());
  EXPECT_GT(first.at("loaded_tokens"), 1000);
  EXPECT_LT(first.at("computed_tokens"), 100) << "the question alone";
  const Json second = usage("Which law governs it?");
  EXPECT_GE(second.at("loaded_tokens"), first.at("loaded_tokens"));
  EXPECT_LT(second.at("computed_tokens"), 100);

  const Json stats = Json::parse(run({"cache", "stats", "--json"}).output);
  EXPECT_GT(stats.at("tokens"), 1000);
  EXPECT_EQ(stats.at("problem"), "");
  EXPECT_EQ(run({"cache", "verify"}).exit_code, 0);
  const std::string folder = stats.at("folder");
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/extents")) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
    file.put('x').put('y');
  }
  const ProcessResult damaged = run({"cache", "verify"});
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_NE(damaged.errors.find(".extent"), std::string::npos) << damaged.errors;
  const Json after = usage("Which law governs it?");
  EXPECT_EQ(after.at("miss_reasons"), Json::array({"damaged"}));

  EXPECT_EQ(run({"cache", "clear", "no such document"}).exit_code, 1);
  EXPECT_EQ(run({"cache", "clear", document}).exit_code, 0);
  const Json cleared = usage("Which law governs it?");
  EXPECT_EQ(cleared.at("miss_reasons"), Json::array({"cleared"}));
  EXPECT_EQ(run({"cache", "clear"}).exit_code, 0);
  EXPECT_EQ(Json::parse(run({"cache", "stats", "--json"}).output).at("bytes"), 0);
  write("config/lectern/settings.json", R"({"kept_gigabytes": 0})");
  EXPECT_EQ(usage("Which law governs it?").at("miss_reasons"), Json::array({"first_read"}));
  EXPECT_EQ(Json::parse(run({"cache", "stats", "--json"}).output).at("bytes"), 0);
}

TEST_F(CliTest, ClearsWhatAFileHeldBeforeItWasChanged) {
  const auto read = [&](const std::string& text) {
    const std::string document = write("agreement.txt", text);
    EXPECT_EQ(run({"read", "--model", tiny_model(), document}).exit_code, 0);
    return document;
  };
  const auto kept = [&] { return Json::parse(run({"cache", "stats", "--json"}).output).at("tokens").get<int>(); };
  read(std::string(agreement) + "As it was before.\n");
  const int one = kept();
  const std::string document = read(std::string(agreement) + "And this is what it says now.\n");
  EXPECT_GT(kept(), one);
  EXPECT_EQ(run({"cache", "clear", document}).exit_code, 0);
  EXPECT_LT(kept(), one / 2) << "the instructions alone";
}

TEST_F(CliTest, SaysWhenWhatWasReadCannotBeKept) {
  const std::string document = write("agreement.txt", agreement);
  std::filesystem::create_directories(folder_.path() + "/cache/lectern");
  write("cache/lectern/context", "a file where a folder should be");
  const ProcessResult result =
      run({"ask", "--json", "--model", tiny_model(), "--max-tokens", "4", document, "When is an invoice due?"});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_NE(result.errors.find("not kept"), std::string::npos) << result.errors;
  EXPECT_EQ(Json::parse(result.output).at("usage").at("miss_reasons"), Json::array({"cache_off"}));
}

TEST_F(CliTest, SaysThatDocumentsStandInAnotherOrderAndForgetsWithASession) {
  std::string first = write("first.txt", agreement),
              second = write("second.txt", std::string("Another paper.\n") + agreement);
  const auto ask = [&](const std::string& session, const std::string& a, const std::string& b) {
    const ProcessResult result = run({"ask", "--json", "--model", tiny_model(), "--session", session, "--max-tokens",
                                      "4", a, b, "When is an invoice due?"});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return Json::parse(result.output).at("usage").at("miss_reasons");
  };
  EXPECT_EQ(ask("one", first, second), Json::array({"first_read"}));
  EXPECT_EQ(ask("two", second, first), Json::array({"order_changed"}));
  const auto documents = [&] {
    return Json::parse(run({"cache", "stats", "--json"}).output).at("documents").get<int>();
  };
  const int before = documents();
  EXPECT_EQ(run({"sessions", "delete", "one"}).exit_code, 0);
  EXPECT_LT(documents(), before) << "its question and answer are forgotten";

  const std::string folder = Json::parse(run({"cache", "stats", "--json"}).output).at("folder");
  std::filesystem::remove_all(folder);
  std::ofstream(folder) << "no folder";
  expect_error_line(run({"cache", "clear"}), 1, "");
}

TEST_F(CliTest, GoesOnWithAReadingThatWasKilled) {
  std::string text;
  for (int index = 0; index < 1400; ++index) text += "Clause " + std::to_string(index) + " stays.\n";
  const std::string document = write("long.txt", text);
  const std::string model = folder_.path() + "/tiny.gguf";
  ASSERT_EQ(run({"model", "synthesize", "--preset", "tiny", "--quant", "Q8_0", "--seed", "1", model}).exit_code, 0);
  const std::vector<std::string> ask{"ask",   "--json",       "--model", model,    "--context",
                                     "32768", "--max-tokens", "4",       document, "What stays?"};
  {
    std::vector<std::string> command{program("lectern-cli")};
    command.insert(command.end(), ask.begin(), ask.end());
    RunningProcess reading(command, folder_.environment());
    bool is_kept = false;
    for (int wait = 0; wait < 600 && !is_kept; ++wait) {  // until the first 8,192 tokens are on the disk
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      const ProcessResult stats = run({"cache", "stats", "--json"});
      is_kept = Json::parse(stats.output).at("tokens") >= 8192;
    }
    ASSERT_TRUE(is_kept);
    reading.send_signal(SIGKILL);
    reading.wait();
  }
  const ProcessResult result = run(ask);
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const Json usage = Json::parse(result.output).at("usage");
  EXPECT_GE(usage.at("loaded_tokens"), 8192) << usage.dump();
  EXPECT_EQ(run({"cache", "verify"}).exit_code, 0);
}

TEST_F(CliTest, StopsABatchOnCtrlCAndKeepsWhatWasWritten) {
  const std::string questions = write("questions.txt", "Tell a long story.\nTell another one.\nAnd one more.\n");
  RunningProcess asking(
      {program("lectern-cli"), "ask", "--model", tiny_model(), "--session", "stopped", "--max-tokens", "3000",
       "--temperature", "1.5", "--seed", "7", "--questions", questions, write("agreement.txt", agreement)},
      folder_.environment());
  asking.read_output(60, 60);
  asking.send_signal(SIGINT);
  EXPECT_EQ(asking.wait(), 128 + SIGINT) << asking.errors();
  EXPECT_NE(asking.errors().find("stopped"), std::string::npos);
  const Json messages = Json::parse(run({"sessions", "show", "stopped", "--json"}).output);
  ASSERT_EQ(messages.size(), 6U);
  for (const std::size_t at : {1U, 3U, 5U}) EXPECT_EQ(messages[at].at("state"), "stopped");
  EXPECT_FALSE(messages[1].at("text").get<std::string>().empty());
}

TEST_F(CliModelTest, KeepsThePartialAnswerWhenItIsKilled) {
  const std::string document = write("agreement.txt", agreement);
  std::string streamed;
  std::size_t a_second_before = 0;
  {
    // A temperature keeps the answer going; the seed keeps it the same.
    RunningProcess asking(
        {program("lectern-cli"), "ask", "--model", model_, "--session", "killed", "--max-tokens", "4000",
         "--temperature", "1.5", "--seed", "7", document, "Tell a very long story about this agreement."},
        folder_.environment());
    asking.read_output(40, 60);
    const auto read_for = [&](double seconds) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
      while (std::chrono::steady_clock::now() < end) streamed = asking.read_output(1'000'000, 0.1);
    };
    read_for(1.5);
    a_second_before = streamed.size();
    read_for(1.1);
    asking.send_signal(SIGKILL);
    EXPECT_EQ(asking.wait(), 128 + SIGKILL) << "it must still have been writing";
  }
  const Json messages = Json::parse(run({"sessions", "show", "killed", "--json"}).output);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].at("text"), "Tell a very long story about this agreement.");
  EXPECT_EQ(messages[1].at("state"), "partial");
  const std::string kept = messages[1].at("text");
  EXPECT_GE(kept.size(), a_second_before) << "of " << streamed.size();
  EXPECT_TRUE(streamed.starts_with(kept.substr(0, 40))) << kept;
  // The next question in that session finds it stopped.
  const ProcessResult next =
      run({"ask", "--json", "--model", model_, "--session", "killed", "--max-tokens", "4", "Why?"});
  EXPECT_EQ(next.exit_code, 0) << next.errors;
  EXPECT_EQ(Json::parse(run({"sessions", "show", "killed", "--json"}).output)[1].at("state"), "stopped");
}

TEST_F(CliModelTest, StopsOnCtrlCAndKeepsWhatWasWritten) {
  const std::string document = write("agreement.txt", agreement);
  RunningProcess asking(
      {program("lectern-cli"), "ask", "--model", model_, "--session", "stopped", "--max-tokens", "4000",
       "--temperature", "1.5", "--seed", "7", document, "Tell a very long story about this agreement."},
      folder_.environment());
  asking.read_output(40, 60);
  asking.send_signal(SIGINT);
  EXPECT_EQ(asking.wait(), 128 + SIGINT) << asking.errors();
  EXPECT_NE(asking.errors().find("stopped"), std::string::npos);
  const Json messages = Json::parse(run({"sessions", "show", "stopped", "--json"}).output);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[1].at("state"), "stopped");
  EXPECT_FALSE(messages[1].at("text").get<std::string>().empty());
}

TEST_F(CliModelTest, FetchesTheDefaultModelWhenNoneIsNamed) {
  // The command as installer/set-up gives it; the file is there already, so no network is needed.
  const std::string models = folder_.path() + "/data/lectern/models";
  std::filesystem::create_directories(models);
  const std::string file = models + "/" + std::filesystem::path(model_).filename().string();
  std::filesystem::create_symlink(model_, file);
  std::ifstream set_up(LECTERN_SOURCE_DIR "/installer/set-up");
  const std::string script{std::istreambuf_iterator<char>(set_up), {}};
  EXPECT_NE(script.find("lectern-cli\" model fetch >>"), std::string::npos) << "installer/set-up gives another command";
  const ProcessResult result = run({"model", "fetch"});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_EQ(result.output, file + "\n");
}

TEST_F(CliModelTest, DelegatesToTheEngine) {
  const ProcessResult result = run({"tokenize", "--model", model_, write("text.txt", "Hello world")});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_FALSE(result.output.empty());
  EXPECT_EQ(run({"model", "inspect", model_}).exit_code, 0);
}

}  // namespace
}  // namespace lectern::test
