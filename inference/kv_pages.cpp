// Each page counts its references and remembers how many of its slots anybody has claimed (`claimed`). Chains that
// share a page see only their own first slots, so the chain whose length equals `claimed` may go on in place without
// disturbing the others; a chain that is shorter (a fork, an edit, a regenerated answer) takes a copy first. A
// conversation that only grows therefore never copies, and a kept segment that ends in the middle of a page costs
// nothing.
#include "inference/kv_pages.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "kernels/error.h"

namespace lectern::inference {

namespace {
constexpr std::size_t page_alignment = 4096;  // what direct disk I/O will want
struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};
std::int64_t pages_for(std::int64_t tokens) {
  return (tokens + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
}
}  // namespace

struct PageRef::Page {
  KvPagePool* pool = nullptr;
  std::int64_t references = 0;
  std::int64_t claimed = 0;  // slots that some chain has written or may write
  std::unique_ptr<std::byte, FreeMemory> memory;
};

PageRef::PageRef(const PageRef& other) : page_(other.page_) {
  if (page_) ++page_->references;
}
PageRef::PageRef(PageRef&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
PageRef& PageRef::operator=(PageRef other) noexcept {
  std::swap(page_, other.page_);
  return *this;
}
PageRef::~PageRef() {
  if (page_ && --page_->references == 0) page_->pool->release(page_);
}
std::byte* PageRef::data() const {
  return page_->memory.get();
}
std::int64_t PageRef::references() const {
  return page_ ? page_->references : 0;
}

KvPagePool::KvPagePool(std::int64_t layers, kernels::KvShape shape, std::int64_t budget_bytes)
    : layers_(layers), shape_(shape) {
  budget_pages_ = page_bytes() == 0 ? INT64_MAX : std::max<std::int64_t>(budget_bytes / page_bytes(), 0);
}
KvPagePool::~KvPagePool() {
  assert(in_use_ == 0 && "a page outlived its pool");
}

PageRef KvPagePool::allocate() {
  if (in_use_ >= budget_pages_)
    throw Error(ErrorKind::out_of_memory,
                "context memory: all " + std::to_string(budget_pages_) +
                    " pages are in use; give the context a larger budget or a smaller window");
  if (free_.empty()) {
    auto page = std::make_unique<PageRef::Page>();
    page->pool = this;
    const std::size_t bytes =
        (static_cast<std::size_t>(page_bytes()) + page_alignment - 1) / page_alignment * page_alignment;
    if (bytes > 0) {
      page->memory.reset(static_cast<std::byte*>(std::aligned_alloc(page_alignment, bytes)));
      if (!page->memory)
        throw Error(ErrorKind::out_of_memory, "context memory: the system has no memory for another page");
    }
    free_.push_back(page.get());
    pages_.push_back(std::move(page));
  }
  PageRef::Page* page = free_.back();
  free_.pop_back();
  page->references = 1;
  page->claimed = 0;
  ++in_use_;
  return PageRef(page);
}

PageRef KvPagePool::copy_of(const PageRef& source, std::int64_t tokens) {
  PageRef copy = allocate();
  // Row by row of heads: [layer][K|V][head] blocks of 256 * dim, of which the first `tokens` rows matter.
  const std::int64_t row = kernels::row_bytes(shape_.type, shape_.head_dim);
  const std::int64_t block = kernels::kv_page_tokens * row;
  for (std::int64_t index = 0; index < layers_ * 2 * shape_.heads; ++index)
    std::memcpy(copy.data() + index * block, source.data() + index * block, static_cast<std::size_t>(tokens * row));
  copy.page_->claimed = tokens;
  return copy;
}

void KvPagePool::release(PageRef::Page* page) {
  free_.push_back(page);
  --in_use_;
}

void KvPagePool::trim() {
  std::erase_if(pages_, [](const auto& page) { return page->references == 0; });
  free_.clear();
}

KvSequence::KvSequence(KvPagePool& pool, std::span<const PageRef> pages, std::int64_t length)
    : pool_(&pool), pages_(pages.begin(), pages.end()), length_(length) {
  assert(static_cast<std::int64_t>(pages.size()) >= pages_for(length));
  pages_.resize(static_cast<std::size_t>(pages_for(length)));
}

void KvSequence::reserve(std::int64_t tokens) {
  if (tokens <= 0) return;
  const std::int64_t page_tokens = kernels::kv_page_tokens;
  const std::int64_t end = length_ + tokens;
  std::vector<PageRef> fresh;
  for (std::int64_t have = static_cast<std::int64_t>(pages_.size()); have < pages_for(end); ++have)
    fresh.push_back(pool_->allocate());
  const std::int64_t used = length_ % page_tokens;
  const auto last = static_cast<std::size_t>(length_ / page_tokens);
  if (used != 0 && pages_[last].page_->claimed != used && pages_[last].references() > 1)
    pages_[last] = pool_->copy_of(pages_[last], used);
  for (PageRef& page : fresh) pages_.push_back(std::move(page));
  for (auto index = last; index < pages_.size(); ++index)
    pages_[index].page_->claimed = std::min(end - static_cast<std::int64_t>(index) * page_tokens, page_tokens);
}

void KvSequence::advance(std::int64_t tokens) {
  length_ += tokens;
  assert(pages_for(length_) <= static_cast<std::int64_t>(pages_.size()));
}

void KvSequence::truncate(std::int64_t length) {
  length_ = std::min(length_, length);
  pages_.resize(static_cast<std::size_t>(pages_for(length_)));
}

kernels::KvStrips KvSequence::strips(std::int64_t layer, std::span<std::byte*> strips) const {
  const std::int64_t offset = layer * pool_->shape().strip_bytes();
  for (std::size_t page = 0; page < pages_.size(); ++page) strips[page] = pages_[page].data() + offset;
  return {strips.data(), pages_.size()};
}

}  // namespace lectern::inference
