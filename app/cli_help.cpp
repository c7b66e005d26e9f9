#include <map>

#include "app/cli_commands.h"
#include "inference/engine_commands.h"

namespace lectern::app::cli {

namespace {

const char* const overview =
    "lectern-cli: read long documents with a language model on this machine, and get answers with proof\n"
    "\n"
    "  ask        [options] [PATH...] QUESTION    read files or folders and answer on stdout\n"
    "  read       [--session NAME] PATH...        read now, ask later\n"
    "  sessions   list | show ID | search TEXT | export ID --format md|html|json | delete ID\n"
    "  extract    [--json] PATH                   text by page with boxes and anchors\n"
    "  model      list | fetch [NAME] | inspect FILE | synthesize\n"
    "  cache      stats | verify | clear [DOCUMENT]\n";

const std::map<std::string, std::string>& texts() {
  static const std::map<std::string, std::string> table = {
      {"ask",
       "lectern-cli ask [options] [PATH...] QUESTION\n"
       "Reads the files and folders and answers; without PATH the documents of the session are used. QUESTION - reads "
       "it from stdin.\n"
       "\n"
       "  --session NAME      ask in this session (name or number); it is made if there is none of that name\n"
       "  --questions FILE    ask each line of FILE (- for stdin) instead of QUESTION: several at a time, which reads\n"
       "                      the documents once\n"
       "  --follow-up         with --questions: as one conversation\n"
       "  --json              one JSON object a line for each answer\n"
       "  --model M           a GGUF file, or the name of one in the models folder\n"
       "  --context N         tokens of context to open the model with\n"
       "  --max-tokens N      longest answer (512)\n"
       "  --temperature T     0 (always the likeliest token) to 5\n"
       "  --seed N            of the dice, for temperatures above 0\n"
       "  --password P        of an encrypted document\n"
       "\n"
       "The first line on stderr is \"session ID\". Ctrl+C stops; what was written is kept.\n"},
      {"read",
       "lectern-cli read [--session NAME] [--password P] [--model M] PATH...\n"
       "Reads files and folders into a session: text, places and index are kept, so that a later ask does not read "
       "them again.\n"},
      {"sessions",
       "lectern-cli sessions list [--json]\n"
       "lectern-cli sessions show ID|NAME [--json]\n"
       "lectern-cli sessions search TEXT [--json]\n"
       "lectern-cli sessions export ID|NAME --format md|html|json\n"
       "lectern-cli sessions delete ID|NAME\n"},
      {"extract",
       "lectern-cli extract [--json] [--password P] PATH\n"
       "Prints the text of a document by page, each page after its marker; --json with a box for every word.\n"},
      {"model",
       "lectern-cli model list              model files in the models folder, and those that can be fetched\n"
       "lectern-cli model fetch [NAME]      download one, check it, put it into the models folder; usually the "
       "default\n"
       "lectern-cli model inspect FILE      what a model file holds\n"
       "lectern-cli model synthesize --preset NAME --quant TYPE --seed N [options] OUT.gguf\n"
       "                                    writes a model of a true shape with random weights, for measuring\n"
       "\n"
       "  --preset NAME       qwen3-next-80b, qwen3.5-35b-a3b, qwen3.5-0.8b, mid, tiny\n"
       "  --quant TYPE        F32, BF16, Q8_0 or Q4_K (the usual mix with Q6_K)\n"
       "  --seed N            the same seed gives the same bytes\n"
       "  --layers N          other than the preset has\n"
       "  --mtp 0|1           with a draft layer (0)\n"
       "  --tokenizer FILE    of a GGUF file, a folder or a tokenizer.json; else bytes and a few merges\n"
       "  --threads N         to compute with\n"},
      {"cache",
       "lectern-cli cache stats [--json]     how much is kept on the disk, and of how much it may be\n"
       "lectern-cli cache verify [--json]    reads all of it back and names what is damaged\n"
       "lectern-cli cache clear [DOCUMENT]   forgets everything, or all that was computed with this document in the\n"
       "                                     context (a path, a name or a fingerprint)\n"
       "\n"
       "What was read is kept, so that a later question, also after a restart, computes only its own tokens. The\n"
       "documents, questions and answers themselves lie in the library and stay. `kept_gigabytes` in settings.json\n"
       "bounds it; 0 keeps nothing on the disk.\n"},
  };
  return table;
}

}  // namespace

std::string help(const std::string& command) {
  if (command.empty()) {
    return std::string(overview) + std::string(inference::engine_command_help()) +
           "\nlectern-cli COMMAND --help says more.\n";
  }
  const auto found = texts().find(command);
  if (found != texts().end()) return found->second;
  return inference::is_engine_command(command) ? std::string(inference::engine_command_help()) : std::string();
}

}  // namespace lectern::app::cli
