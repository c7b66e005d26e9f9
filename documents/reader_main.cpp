// lectern-reader: the child process that alone opens documents and renders pages. It is not meant to be called by hand.
#include <sys/socket.h>

#include <cstdio>

#include "documents/reader_protocol.h"
#include "documents/reader_server.h"

int main() {
  int type = 0;
  socklen_t size = sizeof(type);
  if (getsockopt(lectern::documents::protocol::socket_descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    std::fputs("lectern-reader: is started by Lectern to read one document; use lectern-cli extract FILE instead\n",
               stderr);
    return 2;
  }
  return lectern::documents::serve();
}
