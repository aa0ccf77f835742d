(* Gap of the upper of two layers, each driven by the one below. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

Section Cascade.
  Context {T1 T2 X : Type}.
  Variables (d1 : metric T1) (d2 : metric T2) (o1 : T1) (o2 : T2).
  Variables (lower : T1 -> X -> T1) (upper : T2 -> T1 -> X -> T2) (x : nat -> X).
  Variables (first second gain below above : R).

  (* the upper layer sees the lower one's new state *)
  Definition both (h : T1 * T2) (u : X) : T1 * T2 :=
    let a := lower (fst h) u in (a, upper (snd h) a u).

  Hypothesis Hfirst : 0 <= first < 1.
  Hypothesis Hsecond : 0 <= second < 1.
  Hypothesis Hgain : 0 <= gain.
  Hypothesis Hlower : contractive d1 lower first.
  Hypothesis Hupper : forall h g a u, d2 (upper h a u) (upper g a u) <= second * d2 h g.
  Hypothesis Hseen : forall h a b u, d2 (upper h a u) (upper h b u) <= gain * d1 a b.

  Lemma low h g from n : d1 (fst h) (fst g) <= below ->
    d1 (fst (run both x h from n)) (fst (run both x g from n)) <= first ^ n * below.
  Proof.
    intros Hb. induction n as [|n IH]; [simpl; lra|]. simpl.
    eapply Rle_trans; [apply Hlower|]. rewrite Rmult_assoc. apply Rmult_le_compat_l; [lra |
      exact IH].
  Qed.

  Lemma high h g from n : d1 (fst h) (fst g) <= below ->
    d2 (snd (run both x h from (S n))) (snd (run both x g from (S n)))
    <= second * d2 (snd (run both x h from n)) (snd (run both x g from n)) + gain * (first ^ S n *
      below).
  Proof.
    intros Hb. pose proof (low h g from (S n) Hb) as Hl. simpl in *.
    set (a := run both x h from n) in *. set (b := run both x g from n) in *.
    set (u := x (from + n)%nat) in *.
    eapply Rle_trans; [apply (distance_triangle d2 _ (upper (snd b) (lower (fst a) u) u))|].
    apply Rplus_le_compat; [apply Hupper|].
    eapply Rle_trans; [apply Hseen|]. now apply Rmult_le_compat_l.
  Qed.

  Theorem cascade_gap (k t : nat) (h : T1 * T2) : first <> second ->
    (k <= t)%nat ->
    d1 (fst (state both x h (t - k))) o1 <= below -> d2 (snd (state both x h (t - k))) o2
      <= above ->
    d2 (snd (state both x h t)) (snd (truncated both x (o1, o2) k t))
    <= formulas.cascade_gap first second gain k below above.
  Proof.
    intros Hne Hk Hb Ha. rewrite (state_split both x h t k Hk), truncated_long by exact Hk.
    unfold formulas.cascade_gap. revert Hb Ha. generalize (state both x h (t - k)).
    generalize (t - k)%nat. intros from past Hb Ha. clear Hk. induction k as [|k IH].
    - simpl. replace (gain * first * (1 - 1) / (first - second) * below) with 0 by (field;
      lra). lra.
    - eapply Rle_trans; [now apply high|].
      apply (Rmult_le_compat_l second) in IH; [|lra].
      eapply Rle_trans; [apply Rplus_le_compat_r, IH|]. right. simpl. field. lra.
  Qed.

  Theorem equal_rates (k t : nat) (h : T1 * T2) : first = second ->
    (k <= t)%nat ->
    d1 (fst (state both x h (t - k))) o1 <= below -> d2 (snd (state both x h (t - k))) o2
      <= above ->
    d2 (snd (state both x h t)) (snd (truncated both x (o1, o2) k t))
    <= formulas.cascade_gap_equal_rates first gain k below above.
  Proof.
    intros He Hk Hb Ha. rewrite (state_split both x h t k Hk), truncated_long by exact Hk.
    unfold formulas.cascade_gap_equal_rates. revert Hb Ha. generalize (state both x h (t - k)).
    generalize (t - k)%nat. intros from past Hb Ha. clear Hk. induction k as [|k IH].
    - simpl. lra.
    - eapply Rle_trans; [now apply high|]. rewrite <- He.
      apply (Rmult_le_compat_l first) in IH; [|lra].
      eapply Rle_trans; [apply Rplus_le_compat_r, IH|]. right. rewrite S_INR. simpl. ring.
  Qed.
End Cascade.

Theorem attained first second gain k below above :
  0 <= first < 1 -> 0 <= second < 1 -> first <> second -> 0 <= gain -> 0 <= below -> 0 <= above ->
  let lower (a : R) (_ : unit) := first * a in
  let upper (h a : R) (_ : unit) := second * h + gain * a in
  contractive line lower first /\
  (forall h g a u, line (upper h a u) (upper g a u) = second * line h g) /\
  (forall h a b u, line (upper h a u) (upper h b u) = gain * line a b) /\
  line (snd (state (both lower upper) (fun _ => tt) (below, above) k))
    (snd (truncated (both lower upper) (fun _ => tt) (0, 0) k k))
  = formulas.cascade_gap first second gain k below above.
Proof.
  intros Hf Hs Hne Hg Hb Ha lower upper. repeat split.
  - intros h g u. unfold lower. rewrite !line_is, <- Rmult_minus_distr_l, Rabs_mult,
    (Rabs_right first); lra.
  - intros h g a u. unfold upper. rewrite !line_is.
    replace (second * h + gain * a - (second * g + gain * a)) with (second * (h - g)) by ring.
    rewrite Rabs_mult, (Rabs_right second); lra.
  - intros h a b u. unfold upper. rewrite !line_is.
    replace (second * h + gain * a - (second * h + gain * b)) with (gain * (a - b)) by ring.
    rewrite Rabs_mult, (Rabs_right gain); lra.
  - rewrite truncated_long by reflexivity. rewrite Nat.sub_diag. unfold state.
    assert (orbit : forall b a n, run (both lower upper) (fun _ => tt) (b, a) 0 n
      = (first ^ n * b, formulas.cascade_gap first second gain n b a)).
    { intros b a n. unfold formulas.cascade_gap. induction n as [|n IH].
      - simpl. f_equal; [ring | field; lra].
      - simpl. rewrite IH. unfold both, lower, upper; simpl. f_equal; [ring | field; lra]. }
    assert (pos : forall n, 0 <= snd (run (both lower upper) (fun _ => tt) (below, above) 0 n)).
    { intros n. induction n as [|n IH]; [exact Ha|]. simpl in *.
      rewrite orbit in *. unfold both, lower, upper; simpl in *.
      assert (0 <= first ^ n) by (apply pow_le; lra).
      apply Rplus_le_le_0_compat; [nra|]. apply Rmult_le_pos; [lra|]. apply Rmult_le_pos; nra. }
    specialize (pos k). rewrite !orbit in *. cbn [snd] in *.
    rewrite line_is. replace (formulas.cascade_gap first second gain k 0 0) with 0
      by (unfold formulas.cascade_gap; field; lra).
    rewrite Rminus_0_r. now apply Rabs_right, Rle_ge.
Qed.
