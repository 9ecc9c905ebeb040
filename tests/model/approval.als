/*
 * How a request for approval is carried out: votes, denial, expiry, changes in between, servers that die, two at once.
 *
 * Every rule that the server keeps to is a switch. With all of them on, nothing bad happens and every approved request
 * ends (the checks expect no counterexample). With any one of them off, something bad happens (those commands expect an
 * instance): so each rule is needed, and each check is known to bite. `make model` runs every command.
 *
 * The quorum is n of its members, whom the model counts as persons; trees are judged elsewhere (tests/policies).
 */
module approval

sig Person {}

/* A user, or an app: an app stands for the person who made it. */
sig Reviewer { person: one Person }

sig Policy { members: set Reviewer, n: one Int } { 1 <= n and n <= #members }

/* What is asked: method, path and body, of which the digest is taken. */
sig Body {}

enum Status { Pending, Carried, Denied, TakenBack, Failed }

sig Request {
  asker: one Reviewer,
  asked: one Body,
  var row: one Body,
  var status: lone Status,
  var votes: set Reviewer
}

/* The clock has passed the end of these. */
var sig Late in Request {}

/* A server process, or its keeper. It dies whenever it likes. */
sig Worker {
  var owes: set Request,  -- it took a vote, and carries out what that vote completes
  var holds: lone Request,  -- its transaction has judged this and is not yet committed
  var record: set Request  -- what it carried out: that is in the database, and stays
}

one sig World {
  var policy: one Policy,
  var eligible: set Reviewer,  -- enabled, a member, holding the role that gives the place
  var entitled: set Reviewer  -- who may do what they asked for, but for the quorum
}

/* What the server keeps to. */
enum Rule {
  RowLock,  -- whoever judges, votes on or ends a request holds its row
  LookAfterLock,  -- and reads how it stands once it holds the row
  FactLocks,  -- who rights and votes rest on does not change until the commit
  JudgedAgain,  -- votes count as they stand when it is carried out, not when they were given
  PersonsCount,  -- not identities: neither of who asked nor of who approved
  DigestChecked,
  RightsChecked,
  ClockChecked,
  Keeper  -- whoever finds an approved request carries it out
}

one sig House { keeps: set Rule }

/* --- what is so ------------------------------------------------------------------------------------------------- */

pred met[r: Request] {
  #((r.votes & World.eligible & World.policy.members).person - r.asker.person) >= World.policy.n
}

pred open_[r: Request] { r.status = Pending and r not in Late }

/* --- what the server sees of it --------------------------------------------------------------------------------- */

pred keeps[rule: Rule] { rule in House.keeps }

pred locked[r: Request] { keeps[RowLock] and some holds.r }

pred held { keeps[FactLocks] and some Worker.holds }

pred judged_met[r: Request] {
  let counted = keeps[JudgedAgain] implies r.votes & World.eligible & World.policy.members else r.votes |
    keeps[PersonsCount] implies #(counted.person - r.asker.person) >= World.policy.n
    else #(counted - r.asker) >= World.policy.n
}

pred looks_pending[r: Request] { keeps[LookAfterLock] implies r.status = Pending else some r.status }

pred in_time[r: Request] { keeps[ClockChecked] implies r not in Late }

pred in_order[r: Request] {
  keeps[DigestChecked] implies r.row = r.asked
  keeps[RightsChecked] implies r.asker in World.entitled
}

pred can_take_up[w: Worker, r: Request] {
  no w.holds
  not locked[r]
  looks_pending[r]
  in_time[r]
  judged_met[r]
  keeps[Keeper] or r in w.owes
}

/* --- what happens ----------------------------------------------------------------------------------------------- */

pred same_requests { row' = row and status' = status and votes' = votes }
pred same_workers { owes' = owes and holds' = holds and record' = record }
pred same_world { policy' = policy and eligible' = eligible and entitled' = entitled }
pred same_clock { Late' = Late }

pred create[r: Request] {
  no r.status
  r.asker in World.entitled
  status' = status + r -> Pending
  row' = row ++ r -> r.asked
  votes' = votes
  same_workers and same_world and same_clock
}

pred vote[w: Worker, v: Reviewer, r: Request] {
  open_[r] and not locked[r]
  v in World.eligible & World.policy.members - r.votes
  v.person != r.asker.person or not keeps[PersonsCount]
  votes' = votes + r -> v
  owes' = owes + w -> r
  status' = status and row' = row and holds' = holds and record' = record
  same_world and same_clock
}

pred end[r: Request, how: Status] {
  status' = status ++ r -> how
  row' = row and votes' = votes
  same_world and same_clock
}

pred deny[v: Reviewer, r: Request] {
  open_[r] and not locked[r]
  v in World.eligible & World.policy.members
  end[r, Denied]
  same_workers
}

pred take_back[r: Request] {
  r.status = Pending and not locked[r]
  end[r, TakenBack]
  same_workers
}

/* Two steps, between which anything may happen that no lock forbids. */
pred take_up[w: Worker, r: Request] {
  can_take_up[w, r] and in_order[r]
  holds' = holds + w -> r
  owes' = owes - w -> r
  record' = record
  same_requests and same_world and same_clock
}

pred commit[w: Worker, r: Request] {
  r = w.holds
  end[r, Carried]
  holds' = holds - w -> r
  record' = record + w -> r
  owes' = owes
}

/* What was approved and can no longer be done. */
pred fail[w: Worker, r: Request] {
  can_take_up[w, r] and not in_order[r]
  end[r, Failed]
  same_workers
}

/* What was not committed has not happened; a vote was. */
pred die[w: Worker] {
  some w.holds + w.owes
  holds' = holds - w -> Request
  owes' = owes - w -> Request
  record' = record
  same_requests and same_world and same_clock
}

pred pass[r: Request] {
  some r.status and r not in Late
  Late' = Late + r
  same_requests and same_workers and same_world
}

/* Somebody loses or gains a role, is disabled, the policy is another, the asker's right is taken. */
pred change {
  not held
  not same_world
  same_requests and same_workers and same_clock
}

/* Somebody who reaches the database edits what was asked. */
pred edit[r: Request] {
  some r.status and not locked[r]
  some other: Body - r.row | row' = row ++ r -> other
  status' = status and votes' = votes
  same_workers and same_world and same_clock
}

pred nothing { same_requests and same_workers and same_world and same_clock }

pred step {
  nothing or change
  or some r: Request | create[r] or take_back[r] or pass[r] or edit[r]
    or (some v: Reviewer | deny[v, r] or some w: Worker | vote[w, v, r])
    or (some w: Worker | take_up[w, r] or commit[w, r] or fail[w, r])
  or some w: Worker | die[w]
}

fact behaviour {
  no status and no votes and no Late and no owes and no holds and no record and row = asked
  always step
}

/* --- what must hold --------------------------------------------------------------------------------------------- */

pred at_most_once { always all w: Worker, r: Request | commit[w, r] implies no record.r }

pred only_with_a_quorum { always all w: Worker, r: Request | commit[w, r] implies met[r] }

pred never_by_the_asker {
  always all w: Worker, r: Request |
    commit[w, r] implies #(r.votes.person - r.asker.person) >= World.policy.n
}

pred never_once_ended { always all w: Worker, r: Request | commit[w, r] implies r.status = Pending }

/* The clock of a transaction is that of its judgement. */
pred never_too_late { always all w: Worker, r: Request | take_up[w, r] implies r not in Late }

pred never_edited { always all w: Worker, r: Request | commit[w, r] implies r.row = r.asked }

pred never_without_the_right { always all w: Worker, r: Request | commit[w, r] implies r.asker in World.entitled }

pred ended_stays_ended {
  always all r: Request, how: Status - Pending | r.status = how implies always r.status = how
}

pred safe {
  at_most_once
  only_with_a_quorum
  never_by_the_asker
  never_once_ended
  never_too_late
  never_edited
  never_without_the_right
  ended_stays_ended
}

/* Deaths and changes end some day, and whoever can go on does. */
pred fair {
  eventually always not (change or some w: Worker | die[w])
  all w: Worker, r: Request {
    (eventually always can_take_up[w, r]) implies
      (always eventually (take_up[w, r] or fail[w, r]))
    (eventually always w.holds = r) implies (always eventually commit[w, r])
  }
}

pred approved_ends {
  always all r: Request | (open_[r] and met[r]) implies eventually not (open_[r] and met[r])
}

pred all_kept { House.keeps = Rule }
pred all_but[rule: Rule] { House.keeps = Rule - rule }

/* --- commands --------------------------------------------------------------------------------------------------- */

assert AtMostOnce { all_kept implies at_most_once }
assert OnlyWithAQuorum { all_kept implies only_with_a_quorum }
assert NeverByTheAsker { all_kept implies never_by_the_asker }
assert NeverOnceEnded { all_kept implies never_once_ended }
assert NeverTooLate { all_kept implies never_too_late }
assert NeverEdited { all_kept implies never_edited }
assert NeverWithoutTheRight { all_kept implies never_without_the_right }
assert EndedStaysEnded { all_kept implies ended_stays_ended }
assert ApprovedEnds { all_kept and fair implies approved_ends }

check AtMostOnce for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check OnlyWithAQuorum for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check NeverByTheAsker for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check NeverOnceEnded for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check NeverTooLate for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check NeverEdited for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check NeverWithoutTheRight for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check EndedStaysEnded for 3 but 2 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..9 steps expect 0
check ApprovedEnds for 3 but 1 Request, 2 Worker, 2 Policy, 2 Body, 3 Int, 1..8 steps expect 0

/* The model moves at all: two persons approve, a server dies, the keeper carries it out. */
run TwoApproveAndTheKeeperCarriesOut {
  all_kept
  some r: Request, w: Worker | eventually (met[r] and World.policy.n = 2 and die[w]) and eventually r.status = Carried
} for 3 but 1 Request, 2 Worker, 1 Policy, 1 Body, 3 Int, 1..9 steps expect 1

run CanBeCarriedOut { all_kept and eventually some status.Carried } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run CanBeCarriedOutFairly { all_kept and fair and eventually some status.Carried } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run CanBeDenied { all_kept and eventually some status.Denied } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run CanBeTakenBack { all_kept and eventually some status.TakenBack } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run CanFail { all_kept and eventually some status.Failed } for 3 but 1 Request, 1 Worker, 1 Policy, 2 Body, 3 Int expect 1

/* Each rule is needed. */
run WithoutRowLock { all_but[RowLock] and not at_most_once } for 3 but 1 Request, 2 Worker, 1 Policy, 1 Body, 3 Int expect 1
run WithoutRowLockDenied { all_but[RowLock] and not never_once_ended } for 3 but 1 Request, 2 Worker, 1 Policy, 1 Body, 3 Int expect 1
run WithoutLookAfterLock { all_but[LookAfterLock] and not at_most_once } for 3 but 1 Request, 2 Worker, 1 Policy, 1 Body, 3 Int expect 1
run WithoutFactLocks { all_but[FactLocks] and not only_with_a_quorum } for 3 but 1 Request, 1 Worker, 2 Policy, 1 Body, 3 Int expect 1
run WithoutFactLocksRight { all_but[FactLocks] and not never_without_the_right } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run WithoutJudgedAgain { all_but[JudgedAgain] and not only_with_a_quorum } for 3 but 1 Request, 1 Worker, 2 Policy, 1 Body, 3 Int expect 1
run WithoutPersonsCount { all_but[PersonsCount] and not never_by_the_asker } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run WithoutDigestChecked { all_but[DigestChecked] and not never_edited } for 3 but 1 Request, 1 Worker, 1 Policy, 2 Body, 3 Int expect 1
run WithoutRightsChecked { all_but[RightsChecked] and not never_without_the_right } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run WithoutClockChecked { all_but[ClockChecked] and not never_too_late } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
run WithoutKeeper { all_but[Keeper] and fair and not approved_ends } for 3 but 1 Request, 1 Worker, 1 Policy, 1 Body, 3 Int expect 1
