(* Weight gap of the twins after N steps of projected gradient descent. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem weight_gap {W : normed} (Pi g g_k : W -> W) (alpha : nat -> R) (w : W) (N : nat)
    (mismatch beta : R) :
  (forall v u, size (minus (Pi v) (Pi u)) <= size (minus v u)) ->
  (forall i, 0 <= alpha i) ->
  0 < beta -> (forall v u, size (minus (g v) (g u)) <= beta * size (minus v u)) ->
  (forall v, size (minus (g v) (g_k v)) <= mismatch) ->
  size (minus (descent Pi g alpha w N) (descent Pi g_k alpha w N))
  <= formulas.weight_gap (amplification alpha beta N) mismatch beta.
Proof. apply twins_part. Qed.

(* p(w) = - beta w^2 / 2 and p^k(w) = p(w) - mismatch w *)
Theorem attained (alpha : nat -> R) (N : nat) (mismatch beta : R) :
  (forall i, 0 <= alpha i) -> 0 < beta -> 0 <= mismatch ->
  let g (w : reals) : reals := - beta * w in
  let g_k (w : reals) : reals := - beta * w - mismatch in
  (forall v u : reals, size (minus (g v) (g u)) = beta * size (minus v u)) /\
  (forall v : reals, size (minus (g v) (g_k v)) = mismatch) /\
  size (minus (@descent reals (fun w => w) g alpha 0 N) (@descent reals (fun w => w) g_k alpha 0 N))
  = formulas.weight_gap (amplification alpha beta N) mismatch beta.
Proof.
  intros Ha Hb Hm g g_k. repeat split.
  - intros v u. unfold minus, g; cbn. replace (- beta * v + -1 * (- beta * u))
    with (- (beta * (v + -1 * u))) by ring.
    rewrite Rabs_Ropp, Rabs_mult, (Rabs_right beta); lra.
  - intros v. unfold minus, g, g_k; cbn. replace (- beta * v + -1 * (- beta * v - mismatch))
    with mismatch by ring.
    rewrite Rabs_right; lra.
  - assert (still : @descent reals (fun w => w) g alpha 0 N = 0).
    { induction N as [|N IH]; [reflexivity|]. cbn [descent]. rewrite IH. unfold minus, g;
      cbn. ring. }
    assert (grows : 1 <= amplification alpha beta N).
    { apply amplification_grows; [exact Ha | lra]. }
    assert (there : @descent reals (fun w => w) g_k alpha 0 N
      = mismatch * (amplification alpha beta N - 1) / beta).
    { clear still grows. induction N as [|N IH]; cbn [descent amplification].
      { change (@eq R 0 (mismatch * (1 - 1) / beta)). field. lra. }
      rewrite IH.
      unfold minus, g_k; cbn. field. lra. }
    rewrite still, there. unfold formulas.weight_gap, minus; cbn.
    rewrite Rplus_0_l, Rabs_left1; [ring|].
    assert (0 <= mismatch * (amplification alpha beta N - 1) / beta) by (apply div_nonneg; nra).
    lra.
Qed.
