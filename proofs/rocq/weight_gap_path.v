(* Weight gap of the twins along the path that was taken. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

(* the product of the first stretches, and the first defects, each over its product *)
Fixpoint stretched (q : nat -> R) (N : nat) : R :=
  match N with O => 1 | S n => q n * stretched q n end.

Fixpoint departed (q d : nat -> R) (N : nat) : R :=
  match N with O => 0 | S n => departed q d n + d n / stretched q (S n) end.

Lemma stretched_pos q N : (forall i, 0 < q i) -> 0 < stretched q N.
Proof.
  intros Hq. induction N as [|N IH]; simpl; [lra|]. now apply Rmult_lt_0_compat.
Qed.

Lemma one_more q d N : (forall i, 0 < q i) ->
  formulas.weight_gap_path (stretched q (S N)) (departed q d (S N))
  = q N * formulas.weight_gap_path (stretched q N) (departed q d N) + d N.
Proof.
  intros Hq. unfold formulas.weight_gap_path. cbn [stretched departed].
  pose proof (stretched_pos q N Hq). specialize (Hq N). field. lra.
Qed.

Theorem weight_gap_path {W : normed} (Pi g : W -> W) (alpha q d : nat -> R) (v : nat -> W)
    (N : nat) :
  (forall x y, size (minus (Pi x) (Pi y)) <= size (minus x y)) ->
  (forall i, 0 < q i) ->
  (forall i x,
    size (minus x (v i)) <= formulas.weight_gap_path (stretched q i) (departed q d i) ->
    size (minus (minus x (scale (alpha i) (g x))) (minus (v i) (scale (alpha i) (g (v i)))))
    <= q i * size (minus x (v i))) ->
  (forall i, size (minus (Pi (minus (v i) (scale (alpha i) (g (v i))))) (v (S i))) <= d i) ->
  size (minus (descent Pi g alpha (v 0%nat) N) (v N))
  <= formulas.weight_gap_path (stretched q N) (departed q d N).
Proof.
  intros HPi Hq Hs Hd. induction N as [|N IH].
  - cbn [descent stretched departed]. rewrite minus_self, size_origin.
    unfold formulas.weight_gap_path. lra.
  - rewrite one_more by exact Hq. cbn [descent].
    set (w := descent Pi g alpha (v 0%nat) N) in *.
    rewrite <- (minus_chain _ (Pi (minus (v N) (scale (alpha N) (g (v N)))))).
    eapply Rle_trans; [apply size_plus|]. apply Rplus_le_compat; [|apply Hd].
    eapply Rle_trans; [apply HPi|]. eapply Rle_trans; [now apply Hs|].
    apply Rmult_le_compat_l; [apply Rlt_le, Hq | exact IH].
Qed.

(* p(w) = - beta w^2 / 2 and p^k(w) = p(w) - mismatch w: v is the descent on p^k *)
Theorem attained (alpha : nat -> R) (N : nat) (mismatch beta : R) :
  (forall i, 0 <= alpha i) -> 0 < beta -> 0 <= mismatch ->
  let g (w : reals) : reals := - beta * w in
  let g_k (w : reals) : reals := - beta * w - mismatch in
  let v (i : nat) : reals := @descent reals (fun w => w) g_k alpha 0 i in
  let q i := 1 + alpha i * beta in
  let d i := alpha i * mismatch in
  (forall i (x : reals),
    size (minus (minus x (scale (alpha i) (g x))) (minus (v i) (scale (alpha i) (g (v i)))))
    = q i * size (minus x (v i))) /\
  (forall i, size (minus (minus (v i) (scale (alpha i) (g (v i)))) (v (S i))) = d i) /\
  size (minus (@descent reals (fun w => w) g alpha 0 N) (v N))
  = formulas.weight_gap_path (stretched q N) (departed q d N).
Proof.
  intros Ha Hb Hm g g_k v q d.
  assert (Hq : forall i, 0 < q i).
  { intros i. unfold q. specialize (Ha i). assert (0 <= alpha i * beta) by nra. lra. }
  repeat split.
  - intros i x. unfold minus, g; cbn. fold (v i).
    replace (x + -1 * (alpha i * (- beta * x)) + -1 * (v i + -1 * (alpha i * (- beta * v i))))
      with (q i * (x + -1 * v i)) by (unfold q; ring).
    rewrite Rabs_mult, (Rabs_right (q i)); [reflexivity|]. specialize (Hq i). lra.
  - intros i. unfold v at 3. cbn [descent]. fold (v i). unfold minus, g, g_k; cbn.
    match goal with |- Rabs ?x = _ => replace x with (- (alpha i * mismatch)) by ring end.
    specialize (Ha i). rewrite Rabs_Ropp, Rabs_right; [reflexivity|]. apply Rle_ge. nra.
  - assert (still : @descent reals (fun w => w) g alpha 0 N = 0).
    { induction N as [|N IH]; [reflexivity|]. cbn [descent]. rewrite IH. unfold minus, g;
      cbn. ring. }
    assert (there : v N = formulas.weight_gap_path (stretched q N) (departed q d N)
      /\ 0 <= formulas.weight_gap_path (stretched q N) (departed q d N)).
    { clear still. induction N as [|N [IH sign]].
      - unfold formulas.weight_gap_path; cbn. split; [ring | lra].
      - rewrite one_more by exact Hq. unfold v in *. cbn [descent]. rewrite IH.
        set (b := formulas.weight_gap_path (stretched q N) (departed q d N)) in *.
        specialize (Ha N). assert (0 <= alpha N * beta) by nra. split.
        + unfold minus, g_k; cbn. unfold q, d. ring.
        + unfold q, d. nra. }
    destruct there as [there sign]. rewrite still, there. unfold minus; cbn.
    rewrite Rplus_0_l, Rabs_left1; [ring | lra].
Qed.
