// intarsia: models trained, run and served from C++.
//
// Ownership  Everything is a value or a smart pointer. Copying an Array or a Tensor shares its memory; the
// last copy gives
//            it back. A loaded file stays mapped as long as a weight points into it. Nothing needs to be shut
//            down.
// Threads    The library computes with set_thread_count() threads of its own; no result depends on how many.
// Different
//            objects may be used from different threads at once. One Model may serve several Generators, one
//            thread each, while nobody trains it. A Tokenizer is immutable.
// Errors     Every failure is an exception of type intarsia::Error: what() is one line that names what was
// found and what
//            was expected, hint() is what may help. The library prints nothing and never ends the program. An
//            object whose call threw is as usable as before.
#pragma once
#include "intarsia/array.h"
#include "intarsia/autocast.h"
#include "intarsia/chat_template.h"
#include "intarsia/data.h"
#include "intarsia/digits.h"
#include "intarsia/error.h"
#include "intarsia/generate.h"
#include "intarsia/map.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "intarsia/pipeline.h"
#include "intarsia/random.h"
#include "intarsia/tensor.h"
#include "intarsia/tokenizer.h"
#include "intarsia/train.h"
