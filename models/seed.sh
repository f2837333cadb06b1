#!/bin/sh
# Seeds one bug after the other into a copy of the lock-free files, and expects the models to fail.
#
# `models/seed.sh WORD` runs only the seeds whose text contains WORD.
#
# A seed: checker | tests | file | what stands there | what shall stand there. Each must be found; a seed
# whose text is no longer there is a failure too.
set -eu
cd "$(dirname "$0")/.."
copy=models/target/seeded
failures=0
only=${1:-}

seed() {
    checker=$1 tests=$2 file=$3
    case "$4" in *"$only"*) ;; *) return ;; esac
    rm -rf "$copy"
    mkdir -p "$copy"
    cp -r src "$copy/src"
    mkdir "$copy/models"
    cp -r models/Cargo.toml models/Cargo.lock models/src "$copy/models/"
    if ! FROM=$4 TO=$5 perl -0777 -pi -e '$n = s/\Q$ENV{FROM}\E/$ENV{TO}/; END { exit !$n }' "$copy/$file"; then
        echo "STALE   $file: $4"
        failures=$((failures + 1))
        return
    fi
    if ! RUSTFLAGS="--cfg $checker" cargo test --quiet --release --no-run --target-dir "models/target/seeded-$checker" \
        --manifest-path "$copy/models/Cargo.toml" >"$copy/log" 2>&1; then
        echo "BROKEN  $file: $4"
        failures=$((failures + 1))
        return
    fi
    status=0
    RUSTFLAGS="--cfg $checker" LOOM_MAX_PREEMPTIONS=2 timeout 300 cargo test --quiet --release \
        --target-dir "models/target/seeded-$checker" --manifest-path "$copy/models/Cargo.toml" \
        -- "$tests" >"$copy/log" 2>&1 || status=$?
    case $status in
    0) echo "MISSED  $file: $4" ;;
    # Looked for five minutes, and found nothing: no proof of anything.
    124) echo "UNDONE  $file: $4" ;;
    *) echo "found   $file: $4"; return ;;
    esac
    failures=$((failures + 1))
}

deque=src/scheduler/deque.rs
sleep=src/scheduler/sleep.rs

seed loom claim:: models/src/claim.rs \
    '.compare_exchange(NEW, STARTED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();' \
    '.load(Ordering::Acquire) == NEW;
        self.state.store(STARTED, Ordering::Release);'
seed loom join:: models/src/join.rs \
    'fetch_or(COMPLETE, Ordering::AcqRel)' 'fetch_or(COMPLETE, Ordering::Relaxed)'
seed loom join:: models/src/join.rs \
    'self.state.fetch_or(WAITING, Ordering::AcqRel) & COMPLETE == 0' \
    '{ self.state.fetch_or(WAITING, Ordering::AcqRel); notify.wait(); true }'

seed loom door:: models/src/lib.rs 'fn light() {
            fence(Ordering::SeqCst);' 'fn light() {'
seed loom door:: models/src/lib.rs 'fn heavy() {
            fence(Ordering::SeqCst);' 'fn heavy() {'
seed loom door:: src/sync/door.rs 'self.is_inside.load(Ordering::Acquire)' 'false'
seed loom door:: src/sync/door.rs 'let leans = self.leans_to.load(Ordering::Relaxed) == me;' 'let leans = true;'
seed loom door:: src/sync/door.rs 'self.0.store(false, Ordering::Release);' 'self.0.store(false, Ordering::Relaxed);'

seed loom deque:: $deque 'pairs with the fence in `ends`.
        fence(Ordering::SeqCst);' ''
seed loom deque:: $deque 'pairs with the fence in `pop_back`.
        fence(Ordering::SeqCst);' ''
seed loom deque:: $deque 'tail.store(tail, Ordering::Release)' 'tail.store(tail, Ordering::Relaxed)'
seed loom deque:: $deque 'ring.store(new.as_ptr(), Ordering::Release)' 'ring.store(new.as_ptr(), Ordering::Relaxed)'
seed loom deque:: $deque 'if head < last {' 'if head <= last {'
seed loom deque:: $deque 'if tail - head <= old.mask {' 'if tail - head <= old.mask + 1 {'

seed loom sleep:: $sleep 'pairs with the fences of all wakers.
        fence(Ordering::SeqCst);' ''
seed loom sleep:: $sleep 'pairs with the fence in `prepare_sleep`.
        fence(Ordering::SeqCst);' ''
seed loom sleep:: $sleep 'pairs with those in `prepare_sleep`, `stop_search`.
        fence(Ordering::SeqCst);' ''
seed loom sleep:: $sleep 'if more() { self.call_a_searcher() } else { None }' 'let _ = more; None'
seed loom sleep:: $sleep 'self.start_search(worker);' ''
seed loom sleep:: $sleep 'state.store(AWAKE, Ordering::Release)' 'state.store(AWAKE, Ordering::Relaxed)'

seed shuttle quiescence:: models/src/quiescence.rs \
    '!own.inbox.lock().unwrap().is_empty() || self.more() ||' ''
# A question on its way for an epoch gone by must not hide the next quiescence.
seed shuttle quiescence:: models/src/quiescence.rs \
    '.all(|worker| worker.inbox.lock().unwrap().is_empty())' \
    '.all(|w| w.inbox.lock().unwrap().is_empty() && w.questions.lock().unwrap().is_empty())'
seed shuttle quiescence:: $sleep 'if look() {' 'let _ = look; if true {'
seed shuttle quiescence:: $sleep '&& self.outside.load(Ordering::Acquire) == 0' ''
seed shuttle quiescence:: $sleep 'if !self.all_hopeless(&book) {
            return None;
        }
        let worker' 'if true { return None; }
        let worker'
seed shuttle quiescence:: $sleep 'book.epoch += 1;' ''
seed shuttle quiescence:: $sleep 'book.hopeless_count -= usize::from(std::mem::take(&mut book.hopeless[worker]));' ''

letterbox=src/scheduler/letterbox.rs

seed loom letterbox:: $letterbox '!self.0.swap(true, Ordering::AcqRel)' '!self.0.swap(true, Ordering::Relaxed)'
seed loom letterbox:: $letterbox 'self.0.swap(false, Ordering::AcqRel);' 'self.0.store(false, Ordering::Release);'
seed loom letterbox:: $letterbox 'let mut letters = lock(&self.letters);
        std::mem::swap(&mut *letters, into);' 'std::mem::swap(&mut *lock(&self.letters), into);'
seed loom letterbox:: models/src/letterbox.rs 'self.world.announced.receive();
                    self.is_ready |= self.phases.wake(KEY) == AfterWake::Enqueue;' \
    'self.is_ready |= self.phases.wake(KEY) == AfterWake::Enqueue;
                    self.turn();
                    self.world.announced.receive();'
seed loom letterbox:: $letterbox 'self.is_filled.store(true, Ordering::Release);
        if is_news {' 'if is_news { self.is_filled.store(true, Ordering::Release);'
# One who looks out for letters alone, and is called away by one, has passed his duty on before.
seed loom sleep:: models/src/sleep.rs 'if looks_out {
                world.ring(world.sleepers.stop_search(0, || world.more()));' 'if looks_out {
                let _ = world.sleepers.stop_search(0, || world.more());'

word=src/ipc/word.rs
turns=src/ipc/broker/turns.rs

seed loom lock:: $word 'compare_exchange(me, 0, Ordering::Release' 'compare_exchange(me, 0, Ordering::Relaxed'
seed loom lock:: $word 'Some((free | SENT, Left::Send))' 'Some((free, Left::Nothing))'
seed loom lock:: $word 'left.unwrap_or(Left::HandOver)' 'left.unwrap_or(Left::Nothing)'
seed loom lock:: $word 'word & (CLIENT | STRICT) == 0' 'word & STRICT == 0'
seed loom lock:: $turns 'word.free(client, true);
        self.send(word, tell);' 'word.free(client, true);
        self.settle(word, tell);'
seed loom lock:: $turns 'word.free(client, true);' ''
seed loom lock:: $turns 'if times > 0 {
            word.clear_sent();
        }' ''

waiters=src/ipc/broker/waiters.rs

# One who waits for room in the socket is relied on to read, and one who waits for room to say that he gives up.
seed shuttle waiters:: $waiters 'listens: false,' 'listens: true,'
seed shuttle waiters:: models/src/waiters.rs 'self.give_up(number);' 'self.send(Said::GiveUp(number));'
seed shuttle waiters:: $waiters 'waiter.listens = true;' ''
seed shuttle waiters:: models/src/waiters.rs '// Seed: without this look.
                    if slot.take() {
                        return true;
                    }' ''

claim=src/task/claim.rs
select=models/src/select.rs

seed loom select:: $claim 'Err(BUSY) => rest(&mut spins),' 'Err(BUSY) => return Win::Lost,'
seed loom select:: $claim '.compare_exchange(OPEN, WON + arm, Ordering::AcqRel, Ordering::Acquire);' \
    '.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| (word != BUSY).then_some(WON + arm));'
seed loom select:: $claim 'self.change(OPEN, CLOSED)' '{ self.end(); true }'
seed loom select:: $select 'if !stake.busy() {
                break;
            }' 'let _ = stake.busy();'
seed loom select:: $select 'if !seat.is_in_line || std::ptr::eq(seat.stake.claim(), own) {' 'if !seat.is_in_line {'
# Not in the order of the objects: a circle of selects that wait for each other to be less busy.
seed shuttle select:: $select 'arms.sort_by_key(|&(line, _)| line);' ''

[ "$failures" = 0 ] || { echo "$failures seeds were not found"; exit 1; }
