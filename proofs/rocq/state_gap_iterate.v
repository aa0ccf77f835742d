(* State gap from one stored state, when only several steps together contract. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Theorem state_gap_iterate {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (r : nat) (lam : R) (blocks rest t : nat) (growth past : R) (h : T) :
  0 <= lam < 1 -> iterate_contractive d step r lam ->
  0 <= growth -> contractive d step growth ->
  let k := (blocks * r + rest)%nat in
  (k <= t)%nat -> d (state step x h (t - k)) o <= past ->
  d (state step x h t) (truncated step x o k t)
  <= formulas.state_gap_iterate lam blocks rest growth past.
Proof.
  intros Hlam Hr Hg Hstep k Hk Hpast. eapply Rle_trans;
    [now apply (gap_iterate d step r lam growth)|].
  apply Rmult_le_compat_l; [|exact Hpast].
  apply Rmult_le_pos; apply pow_le; lra.
Qed.

(* h -> (a h_2, b h_1), which contracts in pairs of steps by a b, after an odd number of steps *)
Definition swap (a b : R) (h : R * R) (_ : unit) : R * R := (a * snd h, b * fst h).

Theorem attained a b blocks past : 0 <= b <= a -> a * b < 1 -> 0 <= past ->
  let x (_ : nat) := tt in
  let k := (blocks * 2 + 1)%nat in
  iterate_contractive plane_max (swap a b) 2 (a * b) /\
  contractive plane_max (swap a b) a /\
  plane_max (0, past) (0, 0) = past /\
  plane_max (state (swap a b) x (0, past) k) (truncated (swap a b) x (0, 0) k k)
  = formulas.state_gap_iterate (a * b) blocks 1 a past.
Proof.
  intros Hab Hlam Hp x k. repeat split.
  - intros y h g from. cbn.
    replace (a * (b * fst h) - a * (b * fst g)) with (a * b * (fst h - fst g)) by ring.
    replace (b * (a * snd h) - b * (a * snd g)) with (a * b * (snd h - snd g)) by ring.
    rewrite !Rabs_mult, (Rabs_right a), (Rabs_right b) by lra. apply Req_le, RmaxRmult. nra.
  - intros h g u. unfold swap; cbn.
    rewrite <- !Rmult_minus_distr_l, !Rabs_mult, (Rabs_right a), (Rabs_right b) by lra.
    pose proof (Rmax_l (Rabs (fst h - fst g)) (Rabs (snd h - snd g))).
    pose proof (Rmax_r (Rabs (fst h - fst g)) (Rabs (snd h - snd g))).
    pose proof (Rabs_pos (fst h - fst g)). apply Rmax_lub; nra.
  - cbn. rewrite Rminus_diag_eq, Rabs_R0, Rminus_0_r, Rmax_right, Rabs_right by
      (reflexivity || apply Rabs_pos || lra). reflexivity.
  - rewrite truncated_long by reflexivity. rewrite Nat.sub_diag. unfold state.
    assert (orbit : forall c n, run (swap a b) x (0, c) 0 (n * 2) = (0, (a * b) ^ n * c)).
    { intros c n. induction n as [|n IH]; [simpl; now rewrite Rmult_1_l|].
      replace (S n * 2)%nat with (n * 2 + 2)%nat by ring. rewrite run_split, IH.
      unfold swap; simpl. f_equal; ring. }
    unfold k. rewrite !run_split, !orbit. cbn. unfold formulas.state_gap_iterate.
    rewrite !Rmult_0_r, Rmax_left, Rminus_0_r.
    + rewrite Rabs_right; [ring|].
      assert (0 <= (a * b) ^ blocks) by (apply pow_le; nra). apply Rle_ge.
      apply Rmult_le_pos; [lra|]. nra.
    + rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. apply Rabs_pos.
Qed.
