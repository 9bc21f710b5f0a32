#include "text/model/raw_unigram.h"

#include <algorithm>

#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }
bool is_letter(unsigned c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

// Calls f(left, right) for all neighbours among the characters of `text`; broken bytes are characters.
template <class F>
void for_neighbours(std::string_view text, F&& f) {
  std::string_view left;
  while (!text.empty()) {
    const auto right = text.substr(0, std::max<size_t>(1, valid_character_length(text)));
    if (!left.empty()) f(left, right);
    left = right;
    text.remove_prefix(right.size());
  }
}

}  // namespace

std::unique_ptr<const RawUnigram> RawUnigram::make(const SentencePieceNormalizer& normalizer,
                                                   const Unigram& model, const StringTable& tokens) {
  const SentencePieceRules& rules = normalizer.rules();
  const bool usual = rules.add_dummy_prefix && rules.remove_extra_whitespaces && rules.escape_whitespaces &&
                     !rules.whitespace_as_suffix && rules.kept.empty();
  if (!usual || rules.map->makes(space_mark)) return nullptr;
  std::unique_ptr<RawUnigram> made(new RawUnigram(normalizer, model, tokens));
  if (!made->read_scores() || !made->read_characters()) return nullptr;
  return made;
}

bool RawUnigram::read_scores() {
  const UnigramParts& parts = model_.parts();
  const auto is_missing = [](int32_t id) { return id < 0; };
  by_bytes_ = std::none_of(parts.bytes.begin(), parts.bytes.end(), is_missing);
  const bool some = !by_bytes_ && !std::all_of(parts.bytes.begin(), parts.bytes.end(), is_missing);
  if (!parts.single_precision || parts.by_bytes || parts.unknown < 0 || !parts.fuse_unknown || some)
    return false;
  // Sums grow in one direction, and are those of f32.
  const auto fits = [](double score) { return score <= 0 && static_cast<float>(score) == score; };
  for (int32_t id = 0; id < tokens_.size(); ++id) {
    if (!tokens_[id].empty() && !fits(parts.scores[static_cast<size_t>(id)])) return false;
  }
  unknown_score_ = static_cast<float>(parts.unknown_score);
  return fits(parts.unknown_score);
}

bool RawUnigram::read_characters() {
  const CharactersMap& map = *normalizer_.rules().map;
  const CharactersMap::Inside inside = map.inside();
  joined_ = inside.characters;
  // Pairs of what characters become.
  std::array<std::bitset<128>, 129> pairs;
  for (int32_t id = 0; id < tokens_.size(); ++id) {
    for_neighbours(tokens_[id], [&](std::string_view left, std::string_view right) {
      if (is_ascii(right[0]) && (is_ascii(left[0]) || left == space_mark))
        pairs[left == space_mark ? mark : left[0]].set(static_cast<size_t>(right[0]));
      for (const std::string_view one : {left, right}) {
        if (one.size() == 3) joined_.set(place_of_three(one.data()));
      }
    });
  }
  const auto single = [&](std::string_view text) {
    const int32_t id = tokens_.find(text);
    return id < 0 ? Single{-1, unknown_score_} : Single{id, model_.single_scores()[static_cast<size_t>(id)]};
  };
  for (int byte = 0; byte < 128; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string_view becomes = normalizer_.next({&c, 1}).text;
    const bool by_itself = !inside.bytes[static_cast<size_t>(byte)];
    is_space_[byte] = by_itself && becomes == " " && !map.goes_on_behind({&c, 1});
    const bool stays_ascii = by_itself && becomes.size() == 1 && is_ascii(becomes[0]) && becomes[0] != ' ';
    becomes_[byte] = stays_ascii ? becomes[0] : -1;
    if (stays_ascii) singles_[byte] = single(becomes);
  }
  singles_[mark] = single(space_mark);
  for (unsigned left = 0; left <= mark; ++left) {
    for (unsigned right = 0; right < 128; ++right) {
      const int a = left == mark ? mark : becomes_[left], b = becomes_[right];
      const bool letters = is_letter(left) && is_letter(right);
      const bool seam =
          a >= 0 && b >= 0 && !letters && !pairs[static_cast<size_t>(a)][static_cast<size_t>(b)];
      seams_[left][right >> 6] |= uint64_t{seam} << (right & 63);
    }
  }
  constexpr std::string_view nbsp = "\xc2\xa0";
  nbsp_is_space_ = !inside.bytes[0xc2] && normalizer_.next(nbsp).text == " " && !map.goes_on_behind(nbsp);
  return is_space_[' '];
}

uint8_t RawUnigram::find_kind(const char* at) const {
  const std::string_view character(at, 3);
  uint8_t kind = part_of_piece;
  const size_t place = place_of_three(at);
  const bool by_itself = valid_character_length(character) == 3 && character != space_mark &&
                         !joined_[place] && !normalizer_.rules().map->goes_on_behind(character);
  if (by_itself) {
    const std::string_view becomes = normalizer_.next(character).text;
    if (becomes == " ") {
      kind = becomes_space;
    } else if (becomes == character) {
      kind = tokens_.find(character) < 0 ? alone : part_of_piece;
    } else if (becomes.size() == 1 && is_ascii(becomes[0]) && becomes_[becomes[0]] == becomes[0]) {
      kind = static_cast<uint8_t>(as_ascii + becomes[0]);
    }
  }
  kinds_[place].store(kind, std::memory_order_relaxed);
  return kind;
}

// The end of the piece that goes on to `at`, behind the ASCII character `left` (or another one: mark).
const char* RawUnigram::piece_end(const char* at, const char* end, unsigned left) const {
  while (at < end) {
    const auto byte = static_cast<unsigned char>(*at);
    if (byte < 0x80) {
      if (is_space_[byte] || (left < mark && is_seam(left, byte))) break;
      left = byte;
      ++at;
    } else if (is_of_three(at, end)) {
      const uint8_t kind = kind_at(at);
      if (kind == alone || kind == becomes_space) break;
      const unsigned becomes = kind >= as_ascii ? kind - as_ascii : mark;
      if (left < mark && becomes < mark && is_seam(left, becomes)) break;
      left = becomes;
      at += 3;
    } else {
      if (is_nbsp(at, end)) break;
      at += std::max<size_t>(1, valid_character_length({at, static_cast<size_t>(end - at)}));
      left = mark;
    }
  }
  return at;
}

// Cuts the text from `at` on into at most `batch` items.
size_t RawUnigram::cut(const char*& at, const char* end, bool& after_mark, Item* items) const {
  size_t count = 0;
  const auto piece = [&](const char* to) {
    items[count++] = {at, static_cast<uint32_t>(to - at), after_mark ? Item::marked_piece : Item::piece};
    after_mark = false;
    at = to;
  };
  const auto single = [&](unsigned c) { items[count++] = {at, c, Item::single}; };
  // An ASCII character of so many bytes.
  const auto character = [&](unsigned c, int length) {
    if (after_mark && is_seam(mark, c)) {
      single(mark);
      after_mark = false;
    }
    const char* to = piece_end(at + length, end, c);
    if (!after_mark && to == at + length && becomes_[c] >= 0) {
      single(c);
      at = to;
    } else {
      piece(to);
    }
  };
  // One turn may make two items.
  while (at < end && count + 1 < batch) {
    const auto byte = static_cast<unsigned char>(*at);
    if (is_space_[byte]) {
      after_mark = true;
      ++at;
    } else if (is_letter(byte)) {
      const char* to = at + ascii_letters_end({at, static_cast<size_t>(end - at)}, 0);
      const bool ends =
          to == end || is_space_[static_cast<unsigned char>(*to)] ||
          (is_ascii(*to) && is_seam(static_cast<unsigned char>(to[-1]), static_cast<unsigned char>(*to)));
      piece(ends ? to : piece_end(to, end, static_cast<unsigned char>(to[-1])));
    } else if (byte < 0x80) {
      character(byte, 1);
    } else if (is_of_three(at, end)) {
      const uint8_t kind = kind_at(at);
      if (kind == alone) {
        if (after_mark) single(mark);
        after_mark = false;
        Item& run = items[count++] = {at, 0, Item::unknown_run};
        do {
          at += 3;
          ++run.count;
        } while (is_of_three(at, end) && kind_at(at) == alone);
      } else if (kind == becomes_space) {
        after_mark = true;
        at += 3;
      } else if (kind >= as_ascii) {
        character(kind - as_ascii, 3);
      } else {
        piece(piece_end(at + 3, end, mark));
      }
    } else if (is_nbsp(at, end)) {
      after_mark = true;
      at += 2;
    } else {
      piece(piece_end(at + std::max<size_t>(1, valid_character_length({at, static_cast<size_t>(end - at)})),
                      end, mark));
    }
  }
  return count;
}

struct RawUnigram::State {
  explicit State(Ids& out) : ids(out) {}
  IdBuffer<batch * 11> ids;
  const char* end = nullptr;   // of the text
  float score = 0;             // the sum so far
  bool after_unknown = false;  // the last id stands for an unknown character
  std::string normal;          // a piece
};

bool RawUnigram::encode(std::string_view text, Ids& out) const {
  if (text.size() >= UINT32_MAX) return false;
  const size_t before = out.size();
  State state(out);
  std::array<Item, batch> items;
  const char* at = text.data();
  state.end = at + text.size();
  bool after_mark = true;
  while (at < state.end) {
    const size_t count = cut(at, state.end, after_mark, items.data());
    if (!encode(std::span(items.data(), count), state)) {
      state.ids.flush().resize(before);
      return false;
    }
  }
  return true;
}

// Of characters that are no piece, what they become.
std::string_view RawUnigram::text_of(const Item& item) const {
  if (item.what == Item::unknown_run) return {item.begin, size_t{3} * item.count};
  static constexpr auto ascii = [] {
    std::array<char, 128> characters = {};
    for (size_t i = 0; i < characters.size(); ++i) characters[i] = static_cast<char>(i);
    return characters;
  }();
  return item.count == mark ? space_mark
                            : std::string_view(&ascii[static_cast<size_t>(becomes_[item.count])], 1);
}

bool RawUnigram::encode(std::span<const Item> items, State& state) const {
  constexpr size_t longest = 14;  // the last byte of a key says whether a mark stands before the piece
  std::array<WordKey, batch> keys;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    keys[i] = {};
    if (item.what > Item::marked_piece || item.count > longest) continue;
    const std::string_view bytes(item.begin, item.count);
    keys[i] = state.end - item.begin >= 16 ? WordKey::of_readable(bytes) : WordKey(bytes);
    keys[i].high |= uint64_t{item.what == Item::marked_piece} << 48;
    cache_.prefetch(keys[i]);
  }
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (item.what <= Item::marked_piece) {
      if (!encode_piece(item, keys[i], state)) return false;
      continue;
    }
    const Single one = item.what == Item::single ? singles_[item.count] : Single{-1, unknown_score_};
    const uint32_t count = item.what == Item::single ? 1 : item.count;
    for (uint32_t k = 0; k < count; ++k) state.score += one.score;
    if (one.id >= 0) {
      *state.ids.end() = one.id;
      state.ids.add(1);
      state.after_unknown = false;
    } else if (by_bytes_) {
      model_.append_unknown(text_of(item), state.after_unknown, state.ids.flush());
    } else if (!state.after_unknown) {
      *state.ids.end() = model_.parts().unknown;
      state.ids.add(1);
      state.after_unknown = true;
    }
  }
  state.ids.flush();
  return true;
}

bool RawUnigram::encode_piece(const Item& item, WordKey key, State& state) const {
  if (const size_t known = model_.find_known(cache_, key, state.score, state.ids.end())) {
    state.ids.add(known);
    state.after_unknown = false;
    return true;
  }
  std::string& normal = state.normal;
  const bool marked = item.what == Item::marked_piece;
  normal.assign(marked ? space_mark : std::string_view());
  for (std::string_view rest(item.begin, item.count); !rest.empty();) {
    if (const size_t length = normalizer_.plain_run(rest); length > 0) {
      normal += rest.substr(0, length);
      rest.remove_prefix(length);
    } else {
      const auto part = normalizer_.next(rest);
      normal += part.text;
      rest.remove_prefix(part.length);
    }
  }
  const size_t start = marked ? space_mark.size() : 0;
  if (normal.size() == start || normal.find(' ') != std::string::npos ||
      normal.find(space_mark, start) != std::string::npos)
    return false;
  model_.encode_new(cache_, key, normal, state.score, state.after_unknown, state.ids.flush());
  return true;
}

}  // namespace intarsia
